# The C library: its place, its functions and its statuses.

"The library's name, as a JLL package would give it."
const libcarbontracker = "libcarbontracker.so.0"

# The CT_ABI_VERSION of the header for which this package is written.
const ABI_VERSION = UInt32(0)

const CT_OK = Int32(0)
const CT_DISABLED = Int32(1)
const CT_OVER_BUDGET = Int32(2)
const CT_EINVAL = Int32(-1)
const CT_ESTATE = Int32(-2)
const CT_ERANGE = Int32(-3)
const CT_ENOENT = Int32(-4)
const CT_EIO = Int32(-5)
const CT_EFORK = Int32(-6)
const CT_EPANIC = Int32(-7)

# The functions of the library by name; all NULL if the library is missing.
mutable struct Library
    ct_create::Ptr{Cvoid}
    ct_epoch_begin::Ptr{Cvoid}
    ct_epoch_end::Ptr{Cvoid}
    ct_epoch_cancel::Ptr{Cvoid}
    ct_phase_begin::Ptr{Cvoid}
    ct_phase_end::Ptr{Cvoid}
    ct_progress::Ptr{Cvoid}
    ct_run_progress::Ptr{Cvoid}
    ct_value::Ptr{Cvoid}
    ct_text::Ptr{Cvoid}
    ct_report::Ptr{Cvoid}
    ct_message::Ptr{Cvoid}
    ct_destroy::Ptr{Cvoid}
    ct_release::Ptr{Cvoid}
    ct_last_error::Ptr{Cvoid}
    ct_status_string::Ptr{Cvoid}
    ct_version::Ptr{Cvoid}
end

const lib = Library(ntuple(_ -> C_NULL, fieldcount(Library))...)

function __init__()
    # Precompilation needs no library: it tracks nothing, and its warnings are not shown.
    ccall(:jl_generating_output, Cint, ()) == 0 || return
    failure = load!()
    failure === nothing || @warn """
        CarbonTracker: the library cannot be loaded, so nothing is tracked: $failure
        Install it, or set ENV["CARBONTRACKER_LIB"] to its path before `using CarbonTracker`."""
    return
end

# The paths to try: CARBONTRACKER_LIB alone if it is set; or that of CarbonTracker_jll, the system's library, and the one
# installed with this file.
function candidates()
    named = get(ENV, "CARBONTRACKER_LIB", "")
    isempty(named) || return [named]
    prefix = normpath(@__DIR__, "..", "..", "..", "..", "..")
    return [artifact(); libcarbontracker; joinpath(prefix, "lib", libcarbontracker)]
end

# The library that the package CarbonTracker_jll downloads, if it is in the user's environment; else no path.
function artifact()
    id = Base.identify_package("CarbonTracker_jll")
    id === nothing && return String[]
    try
        return [String(Base.invokelatest(getfield, Base.require(id), :libcarbontracker_path))]
    catch failure
        @warn "CarbonTracker: CarbonTracker_jll gives no library, so another one is searched" failure
        return String[]
    end
end

# Loads the library and its functions. Returns nothing, or the reason for a failure.
function load!()
    failures = String[]
    for path in candidates()
        try
            # Julia's default flags contain RTLD_DEEPBIND, with which the library would not use a preloaded allocator.
            handle = Libdl.dlopen(path, Libdl.RTLD_LAZY | Libdl.RTLD_LOCAL)
            abi = ccall(Libdl.dlsym(handle, :ct_abi_version), UInt32, ())
            abi == ABI_VERSION || return "$path has ABI version $abi, this package needs $ABI_VERSION"
            functions = map(name -> Libdl.dlsym(handle, name), fieldnames(Library))
            foreach((name, f) -> setfield!(lib, name, f), fieldnames(Library), functions)
            return nothing
        catch failure
            push!(failures, sprint(showerror, failure))
        end
    end
    return join(unique(failures), "\n")
end

is_loaded() = lib.ct_create != C_NULL

# For a call that may wait: other threads may collect garbage in the meantime. Its arguments must be converted and
# rooted.
macro gc_safe(call)
    quote
        state = ccall(:jl_gc_safe_enter, Int8, ())
        result = $(esc(call))
        ccall(:jl_gc_safe_leave, Cvoid, (Int8,), state)
        result
    end
end

"""
    CarbonTracker.version() -> Union{VersionNumber, Nothing}

The version of the C library, or `nothing` if it is not loaded.

The package loads the library from `ENV["CARBONTRACKER_LIB"]` if that is set. If not, it loads
the one of `CarbonTracker_jll` if that package is in the environment, `$libcarbontracker` from the system's library path (`LD_LIBRARY_PATH`, `ldconfig`), or else from
`PREFIX/lib` if this package is in `PREFIX/share/julia/dev`.
"""
function version()
    is_loaded() || return nothing
    return VersionNumber(unsafe_string(ccall(lib.ct_version, Cstring, ())))
end

"""
    CarbonError

The C library refused a call, and nothing changed. `message` has the reason and the fix; `status` is
the library's `ct_status`, a negative number such as `CarbonTracker.CT_EINVAL`.
"""
struct CarbonError <: Exception
    status::Int32
    message::String
end

function Base.showerror(io::IO, error::CarbonError)
    words = unsafe_string(ccall(lib.ct_status_string, Cstring, (Int32,), error.status))
    print(io, "CarbonError: ", error.message, " (", words, ")")
end

# Throws if a call was refused. It must follow the call without a task switch, because the message belongs to the last
# failure on this thread.
function check(status::Int32)
    status < 0 || return status
    throw(CarbonError(status, unsafe_string(ccall(lib.ct_last_error, Cstring, ()))))
end
