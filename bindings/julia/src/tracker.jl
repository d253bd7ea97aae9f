# What the user holds, and the gate that keeps every call away from the tracker's end.

# What has begun the open epoch. A loop may be left at any time, and a callback begins an epoch in advance: the next
# begin drops such an epoch.
const BY_NOBODY = 0
const BY_HAND = 1
const BY_LOOP = 2
const BY_CALLBACK = 3

"""
    Tracker(options = ""; log = false, keywords...)
    Tracker(f, options = ""; log = false, keywords...)

A run being tracked. The options are the C library's, by keyword or as its `key=value` text or both
(the keywords win), and in the environment as `CARBONTRACKER_<KEY>`:

    Tracker(epochs = 100, location = "DK", components = ["cpu", "gpu"])
    Tracker("epochs=100 location=DK")

With a function it is called with the tracker, which is closed at the end, however it ends; the
function's value is returned. That is the form for a `do` block.

With `log = true` the library's messages (what is not measured, forecasts, budgets) are logged by
`@info` when the tracker is made, as epochs end, and when it is closed; else [`messages`](@ref) has them.

An option that is `nothing` is left out. `Tracker(nothing)` is a disabled tracker: every call on it
does nothing. So is any tracker where the library is missing, where `CARBONTRACKER_DISABLE=1` is set,
and one that was closed. `isopen` tells.

Throws [`CarbonError`](@ref) for an unknown option or a bad value, which the message names. To train
on untracked: `tracker = try Tracker(options) catch; Tracker(nothing) end`.

A tracker may be used from any task and thread. `close` it when done; the garbage collector closes
those that were lost. `deepcopy` gives the same tracker. It belongs to the process that made it: in
another, where serialization takes it, it is closed, and its calls throw [`CarbonError`](@ref) (`CT_EFORK`).
"""
mutable struct Tracker
    ptr::Ptr{Cvoid}
    gate::Threads.Atomic{Int}
    log::Bool
    begun_by::Int
    is_over_budget::Bool
    home::UInt # its own address; 0 if disabled

    function Tracker(ptr::Ptr{Cvoid}, log::Bool)
        tracker = new(ptr, Threads.Atomic{Int}(ptr == C_NULL ? CLOSED : 0), log, BY_NOBODY, false, 0)
        ptr == C_NULL && return tracker
        tracker.home = address(tracker)
        return finalizer(release, tracker)
    end
end

address(tracker) = UInt(pointer_from_objref(tracker))

# Whether it is a copy of a tracker's fields, as serialization makes it. Its pointer belongs to the tracker, or is NULL.
is_copy(tracker::Tracker) = tracker.home != 0 && tracker.home != address(tracker)

# Programs copy state that holds a tracker: both copies then share the tracker.
Base.deepcopy_internal(tracker::Tracker, ::IdDict) = tracker

function Tracker(options::Union{AbstractString,Nothing} = ""; log::Bool = false, keywords...)
    (options === nothing || !is_loaded()) && return Tracker(C_NULL, log)
    text = join([options; option_texts(keywords)], " ")
    ptr = Ref{Ptr{Cvoid}}(C_NULL)
    status = create(text, ptr)
    if status == CT_EIO # no thread or memory left: lost trackers may hold them
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

# Keywords as the library writes options, each value in quotes.
function option_texts(keywords)
    given = [key => value for (key, value) in keywords if value !== nothing]
    quoted(value) = "'" * replace(option_text(value), r"['\\]" => s"\\\0") * "'"
    return String["$key=$(quoted(value))" for (key, value) in given]
end

option_text(value) = string(value)
option_text(value::Union{Rational,AbstractIrrational}) = string(float(value))
option_text(values::Union{AbstractVector,Tuple,AbstractSet}) = join(map(option_text, collect(values)), ",")

# The gate: calls that are in the library, CALL each, and whether the tracker is closed. Nobody gets in once it is
# closed, and who finds or leaves it closed and empty ends the tracker: exactly one does.
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

# The finalizer: inside the garbage collector there are no locks, no task switches, no printing, no waiting. At exit it
# comes while other threads still run; then the last call to leave ends the tracker.
function release(tracker::Tracker)
    if Threads.atomic_or!(tracker.gate, CLOSED) == 0
        ccall(lib.ct_release, Cvoid, (Ptr{Cvoid},), tracker.ptr)
    end
    return
end

# Makes a call, if the tracker is open, and returns its status; `f` gets the library's pointer and neither throws nor
# switches tasks.
function attempt(f::F, tracker::Tracker) where {F}
    is_copy(tracker) && refuse_copy()
    enter(tracker) || return CT_DISABLED
    try
        return GC.@preserve tracker f(tracker.ptr)
    finally
        leave(tracker)
    end
end

const COPIED = "this is a copy of a tracker, as serialization makes it, and the tracker itself is in the process that " *
    "made it: use it there, or make one here by Tracker(options)"

@noinline refuse_copy() = throw(CarbonError(CT_EFORK, COPIED))

"""
    close(tracker)

Ends the tracker after a last reading; an epoch that is open is dropped. Ask for its report before.
Calls that other threads have in the library end first; later ones do nothing. Closing it again is fine.
"""
function Base.close(tracker::Tracker)
    is_copy(tracker) && return
    tracker.log && log_messages(tracker)
    Threads.atomic_or!(tracker.gate, CLOSED) == 0 && destroy(tracker)
    return
end

"""
    isopen(tracker) -> Bool

Whether it tracks: not disabled, not closed, not the copy of another process's tracker.
"""
Base.isopen(tracker::Tracker) = !is_copy(tracker) && tracker.ptr != C_NULL && tracker.gate[] & CLOSED == 0

function Base.show(io::IO, tracker::Tracker)
    state = is_copy(tracker) ? "a copy, closed" : isopen(tracker) ? "open" : "closed or disabled"
    print(io, "CarbonTracker.Tracker(", state, ")")
end
