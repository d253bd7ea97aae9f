# The tracker, and the gate that lets no call run during or after the end of a tracker.

# How the open epoch was begun. A loop may be left at any time, and a callback begins an epoch in advance. The next
# begin cancels such an epoch.
const BY_NONE = 0
const BY_HAND = 1
const BY_LOOP = 2
const BY_CALLBACK = 3

"""
    Tracker(options = ""; log = false, keywords...)
    Tracker(f, options = ""; log = false, keywords...)

A tracked run. The options are those of the C library: keywords, or its `key=value` text, or both (the
keywords win). Each is also an environment variable, `CARBONTRACKER_<KEY>`:

    Tracker(epochs = 100, location = "DK", components = ["cpu", "gpu"])
    Tracker("epochs=100 location=DK")

With a function `f`, for a `do` block, it calls `f(tracker)`, closes the tracker at the end, even after
an exception, and returns the value of `f`.

With `log = true`, `@info` logs the messages of the library (devices that are not measured, forecasts,
budgets) when the tracker is made, when an epoch ends, and when the tracker is closed. Otherwise
[`messages`](@ref) returns them.

An option with the value `nothing` is ignored. `Tracker(nothing)` is a disabled tracker: every call on
it does nothing. A tracker is also disabled if the library is missing, if `CARBONTRACKER_DISABLE=1` is
set, or after `close`. `isopen` returns whether it is enabled.

Throws [`CarbonError`](@ref) for an unknown option or a bad value; the message names it. To continue
untracked: `tracker = try Tracker(options) catch; Tracker(nothing) end`.

Any task and thread may use a tracker. `close` it at the end; the garbage collector closes lost ones.
`deepcopy` returns the same tracker. A tracker belongs to the process that made it. A copy that
serialization makes in another process is closed, and its calls throw [`CarbonError`](@ref) (`CT_EFORK`).
"""
mutable struct Tracker
    ptr::Ptr{Cvoid}
    gate::Threads.Atomic{Int}
    log::Bool
    begun_by::Int
    is_over_budget::Bool
    home::UInt # its own address; 0 if disabled

    function Tracker(ptr::Ptr{Cvoid}, log::Bool)
        tracker = new(ptr, Threads.Atomic{Int}(ptr == C_NULL ? CLOSED : 0), log, BY_NONE, false, 0)
        ptr == C_NULL && return tracker
        tracker.home = address(tracker)
        return finalizer(release, tracker)
    end
end

address(tracker) = UInt(pointer_from_objref(tracker))

# Whether this is a copy of a tracker's fields, made by serialization. Its pointer belongs to the tracker, or is NULL.
is_copy(tracker::Tracker) = tracker.home != 0 && tracker.home != address(tracker)

# Programs copy state that contains a tracker. Both copies then share the tracker.
Base.deepcopy_internal(tracker::Tracker, ::IdDict) = tracker

function Tracker(options::Union{AbstractString,Nothing} = ""; log::Bool = false, keywords...)
    (options === nothing || !is_loaded()) && return Tracker(C_NULL, log)
    text = join([options; option_texts(keywords)], " ")
    ptr = Ref{Ptr{Cvoid}}(C_NULL)
    status = create(text, ptr)
    if status == CT_EIO # no thread or memory left: lost trackers may still hold them
        GC.gc()
        status = create(text, ptr)
    end
    check(status)
    tracker = Tracker(ptr[], log)
    log && log_messages(tracker)
    return tracker
end

function Tracker(f::Function, options::Union{AbstractString,Nothing} = ""; keywords...)
    tracker = Tracker(options; keywords...)
    try
        return f(tracker)
    finally
        close(tracker)
    end
end

function create(text::String, ptr::Ref{Ptr{Cvoid}})
    GC.@preserve text ptr begin
        options = Base.unsafe_convert(Cstring, text)
        out = Base.unsafe_convert(Ptr{Ptr{Cvoid}}, ptr)
        return @gc_safe ccall(lib.ct_create, Int32, (Cstring, Ptr{Ptr{Cvoid}}), options, out)
    end
end

# The keywords as `key=value` texts of the library, each value in quotes.
function option_texts(keywords)
    given = [key => value for (key, value) in keywords if value !== nothing]
    quoted(value) = "'" * replace(option_text(value), r"['\\]" => s"\\\0") * "'"
    return String["$key=$(quoted(value))" for (key, value) in given]
end

option_text(value) = string(value)
option_text(value::Union{Rational,AbstractIrrational}) = string(float(value))
option_text(values::Union{AbstractVector,Tuple,AbstractSet}) = join(map(option_text, collect(values)), ",")

# The gate is one number: CALL for each call that is in the library, plus CLOSED if the tracker is closed. No call
# enters a closed gate. The call that closes it while it is empty, or the last that leaves it, ends the tracker: exactly
# one does.
const CLOSED = 1
const CALL = 2

function enter(tracker::Tracker)
    seen = tracker.gate[]
    while seen & CLOSED == 0
        before = Threads.atomic_cas!(tracker.gate, seen, seen + CALL)
        before == seen && return true
        seen = before
    end
    return false
end

function leave(tracker::Tracker)
    Threads.atomic_sub!(tracker.gate, CALL) == CALL | CLOSED && destroy(tracker)
    return
end

function destroy(tracker::Tracker)
    GC.@preserve tracker begin
        ptr = tracker.ptr
        @gc_safe ccall(lib.ct_destroy, Cvoid, (Ptr{Cvoid},), ptr)
    end
    return
end

# The finalizer. Inside the garbage collector it must not lock, switch tasks, print or wait. At exit it may run while
# other threads still make calls; then the last call to leave ends the tracker.
function release(tracker::Tracker)
    if Threads.atomic_or!(tracker.gate, CLOSED) == 0
        ccall(lib.ct_release, Cvoid, (Ptr{Cvoid},), tracker.ptr)
    end
    return
end

# Makes a call if the tracker is open, and returns its status. `f` gets the library's pointer; it must not throw or
# switch tasks.
function attempt(f::F, tracker::Tracker) where {F}
    is_copy(tracker) && refuse_copy()
    enter(tracker) || return CT_DISABLED
    try
        return GC.@preserve tracker f(tracker.ptr)
    finally
        leave(tracker)
    end
end

const COPIED = "this is a serialized copy of a tracker; the tracker works only in the process that made it: " *
    "use it in the process that made it, or make a new one here by Tracker(options)"

@noinline refuse_copy() = throw(CarbonError(CT_EFORK, COPIED))

"""
    close(tracker)

Ends the tracker after a last reading; an open epoch is cancelled. Take the report before. Calls of
other threads that are in progress end first; later calls do nothing. A second `close` does nothing.
"""
function Base.close(tracker::Tracker)
    is_copy(tracker) && return
    tracker.log && log_messages(tracker)
    Threads.atomic_or!(tracker.gate, CLOSED) == 0 && destroy(tracker)
    return
end

"""
    isopen(tracker) -> Bool

Whether the tracker is enabled: not disabled, not closed, and not a copy from another process.
"""
Base.isopen(tracker::Tracker) = !is_copy(tracker) && tracker.ptr != C_NULL && tracker.gate[] & CLOSED == 0

function Base.show(io::IO, tracker::Tracker)
    state = is_copy(tracker) ? "a copy, closed" : isopen(tracker) ? "open" : "closed or disabled"
    print(io, "CarbonTracker.Tracker(", state, ")")
end

# At the prompt and in a notebook, an open tracker shows its report.
function Base.show(io::IO, ::MIME"text/plain", tracker::Tracker)
    isopen(tracker) ? print(io, chomp(report(tracker))) : show(io, tracker)
    return
end

function Base.show(io::IO, ::MIME"text/html", tracker::Tracker)
    isopen(tracker) || return print(io, "<p>", tracker, "</p>")
    page = replace(replace(report(tracker, :html), "&" => "&amp;"), "\"" => "&quot;")
    # A page has styles of its own, so it stands in a frame.
    print(io, "<iframe title=\"carbontracker\" style=\"width:100%;height:40em;border:0\" srcdoc=\"", page, "\"></iframe>")
    return
end
