# Named phases: with explicit calls, or as a block.

"""
    phase_begin!(tracker, name)

Begins a named phase within the open ones, in an epoch or outside. The report has its time and energy:
`tracker["/phases/rows/solve/energy_j"]`, and for a phase in "step" `"/phases/rows/step~1solve/energy_j"`. One
thread marks the phases of a tracker. Throws [`CarbonError`](@ref) if the name does not have 1 to 128 bytes
of UTF-8 (`CT_EINVAL`), or if 64 phases are open (`CT_ESTATE`).
"""
function phase_begin!(tracker::Tracker, name::AbstractString)
    text = String(name)
    status = GC.@preserve text begin
        pointer = Base.unsafe_convert(Cstring, text)
        attempt(ptr -> ccall(lib.ct_phase_begin, Int32, (Ptr{Cvoid}, Cstring), ptr, pointer), tracker)
    end
    check(status)
    return
end

"""
    phase_end!(tracker)

Ends the innermost open phase. Throws [`CarbonError`](@ref) (`CT_ESTATE`) if none is open.
"""
function phase_end!(tracker::Tracker)
    check(mark(lib.ct_phase_end, tracker))
    return
end

# Ends the phase of a block that is being left. A failure must not hide the exception of the block; the library counts
# it, and a message reports it.
function leave_phase(tracker::Tracker)
    mark(lib.ct_phase_end, tracker)
    return
end

"""
    phase!(f, tracker, name)

Runs `f()` as a named phase and returns its value. The phase ends even if `f` throws.

    phase!(tracker, "solve") do
        solve!(system)
    end

A `do` block is a closure, as for [`epoch!`](@ref). [`@phase`](@ref) makes none.
"""
function phase!(f, tracker::Tracker, name::AbstractString)
    phase_begin!(tracker, name)
    try
        return f()
    finally
        leave_phase(tracker)
    end
end

"""
    @phase tracker name expression

Runs the expression as a named phase and has its value, as [`phase!`](@ref). It makes no closure: in a
function, the expression assigns variables of the function at no cost:

    @phase tracker "solve" for row in rows
        residual += relax!(row)
    end

The phase ends in whatever way the expression is left: also by an exception, `break`, `continue` or `return`.
"""
macro phase(tracker, name, expression)
    quote
        tracker = $(esc(tracker))
        phase_begin!(tracker, $(esc(name)))
        try
            $(esc(expression))
        finally
            leave_phase(tracker)
        end
    end
end
