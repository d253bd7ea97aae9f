# Epochs and progress: with explicit calls, as a block, as an iteration, or as a callback.

# Calls a function of the library that takes only the tracker.
mark(f::Ptr{Cvoid}, tracker::Tracker) = attempt(ptr -> ccall(f, Int32, (Ptr{Cvoid},), ptr), tracker)

"""
    epoch_begin!(tracker)

Begins an epoch. Throws [`CarbonError`](@ref) (`CT_ESTATE`) if an epoch is already open.
"""
epoch_begin!(tracker::Tracker) = begin_epoch(tracker, BY_HAND)

"""
    epoch_end!(tracker) -> Bool

Ends the epoch. Returns whether the run now passes a budget, as [`over_budget`](@ref).
Throws [`CarbonError`](@ref) (`CT_ESTATE`) if no epoch is open.
"""
epoch_end!(tracker::Tracker) = end_epoch(tracker, false)

"""
    epoch_cancel!(tracker)

Cancels the open epoch: it does not count, and the forecast ignores it. Its energy counts as energy
between epochs. Throws [`CarbonError`](@ref) (`CT_ESTATE`) if no epoch is open.
"""
function epoch_cancel!(tracker::Tracker)
    check(cancel_epoch(tracker))
    return
end

# A begin cancels the open epoch of a callback or a loop. A callback begins an epoch in advance. A loop may leave its
# epoch open, or this epoch begins inside it: then the library refuses and counts the first call, and a message reports
# it.
function begin_epoch(tracker::Tracker, begun_by::Int)
    tracker.begun_by == BY_CALLBACK && cancel_epoch(tracker)
    status = mark(lib.ct_epoch_begin, tracker)
    if status == CT_ESTATE && tracker.begun_by == BY_LOOP
        cancel_epoch(tracker)
        status = mark(lib.ct_epoch_begin, tracker)
    end
    check(status)
    tracker.begun_by = begun_by
    return
end

# The state changes first: after the cancellation another thread may begin the next epoch.
function cancel_epoch(tracker::Tracker)
    tracker.begun_by = BY_NONE
    return mark(lib.ct_epoch_cancel, tracker)
end

function end_epoch(tracker::Tracker, may_be_ended::Bool)
    may_be_ended && tracker.begun_by == BY_NONE && return tracker.is_over_budget
    tracker.begun_by = BY_NONE
    # With a budget, the call waits a few milliseconds for the epoch's last reading.
    status = attempt(tracker) do ptr
        @gc_safe ccall(lib.ct_epoch_end, Int32, (Ptr{Cvoid},), ptr)
    end
    may_be_ended && status == CT_ESTATE && return tracker.is_over_budget
    check(status)
    tracker.is_over_budget = status == CT_OVER_BUDGET
    tracker.log && log_messages(tracker)
    return tracker.is_over_budget
end

# Ends an epoch, unless the loop body has ended or cancelled it.
end_if_open(tracker::Tracker) = end_epoch(tracker, true)

"""
    epoch!(f, tracker)

Runs `f()` as an epoch and returns its value. If it throws, the epoch is cancelled and the exception
propagates unchanged.

    loss = epoch!(tracker) do
        train_one_epoch()
    end

A `do` block is a closure: Julia boxes each variable of the enclosing scope that it assigns, and such a loop
becomes slow. [`@epoch`](@ref) and [`epochs`](@ref) make no closure.
"""
function epoch!(f, tracker::Tracker)
    epoch_begin!(tracker)
    value = try
        f()
    catch
        cancel_if_open(tracker)
        rethrow()
    end
    end_if_open(tracker)
    return value
end

# After an exception of the user, which a failure to cancel must not hide.
function cancel_if_open(tracker::Tracker)
    tracker.begun_by == BY_NONE || cancel_epoch(tracker)
    return
end

"""
    @epoch tracker expression

Runs the expression as an epoch and has its value, as [`epoch!`](@ref). It makes no closure, so the
expression may assign variables of the enclosing scope at no cost:

    @epoch tracker for batch in batches(tracker, loader)
        total += train!(model, batch)
    end

If it throws, the epoch is cancelled. `break`, `continue` or `return` out of the expression leave the epoch
open; the next begin then fails.
"""
macro epoch(tracker, expression)
    quote
        let tracker = $(esc(tracker))
            epoch_begin!(tracker)
            value = try
                $(esc(expression))
            catch
                cancel_if_open(tracker)
                rethrow()
            end
            end_if_open(tracker)
            value
        end
    end
end

"""
    over_budget(tracker) -> Bool

Whether, after the last ended epoch or the last [`run_progress!`](@ref), the run passes `budget_kwh`,
`budget_g` or `budget_h`: by its use, or by the lower end of the forecast after two epochs in a row. The
library only reports it: the loop decides what to do.
"""
over_budget(tracker::Tracker) = tracker.is_over_budget

"""
    progress!(tracker, done, total)

Sets the progress of the open epoch: `done` of `total` batches or time steps. It is cheap. In the
first epoch it allows a forecast before the epoch ends. Throws [`CarbonError`](@ref) if no epoch is open
(`CT_ESTATE`), or if `total` is 0 or less than `done` (`CT_EINVAL`).
"""
function progress!(tracker::Tracker, done::Integer, total::Integer)
    check(mark_progress(tracker, done, total))
    return
end

function mark_progress(tracker::Tracker, done::Integer, total::Integer)
    # Both are unsigned in C. A negative number becomes an invalid pair, with `done` above `total`. They have new names:
    # Julia boxes a variable that is assigned again and captured.
    marked, all = done < 0 ? (UInt64(1), UInt64(0)) : (UInt64(done), UInt64(max(total, 0)))
    call(ptr) = ccall(lib.ct_progress, Int32, (Ptr{Cvoid}, UInt64, UInt64), ptr, marked, all)
    return attempt(call, tracker)
end

"""
    run_progress!(tracker, done, total) -> Bool

Sets the progress of the whole run: `done` of `total`, in any unit, such as time steps, simulated time or
tokens. It needs no epochs, and is cheap enough for every step. Call it with `done` 0 at the start, and at
the end. `total` may change. Returns whether the run passes a budget, as [`over_budget`](@ref). Throws
[`CarbonError`](@ref) (`CT_EINVAL`) if `done` is below 0, `total` is not above 0, or one is not finite. A
`done` that is less than before is ignored.
"""
function run_progress!(tracker::Tracker, done::Real, total::Real)
    work, all = Float64(done), Float64(total)
    call(ptr) = ccall(lib.ct_run_progress, Int32, (Ptr{Cvoid}, Float64, Float64), ptr, work, all)
    tracker.is_over_budget = check(attempt(call, tracker)) == CT_OVER_BUDGET
    return tracker.is_over_budget
end

# Marks the progress if an epoch is open, and does nothing otherwise.
function mark_if_open(tracker::Tracker, done::Integer, total::Integer)
    tracker.begun_by == BY_NONE || mark_progress(tracker, done, total)
    return
end

# An iterator over the items of another one, with marks between the items. It has their number, shape and type.
abstract type Marked{T} end

Base.IteratorSize(::Type{<:Marked{T}}) where {T} = Base.IteratorSize(T)
Base.IteratorEltype(::Type{<:Marked{T}}) where {T} = Base.IteratorEltype(T)
Base.eltype(::Type{<:Marked{T}}) where {T} = eltype(T)
Base.length(marked::Marked) = length(marked.items)
Base.size(marked::Marked, dimensions...) = size(marked.items, dimensions...)
Base.axes(marked::Marked) = axes(marked.items)
Base.show(io::IO, marked::Marked{T}) where {T} = print(io, nameof(typeof(marked)), "(", nameof(T), ")")

struct Epochs{T} <: Marked{T}
    tracker::Tracker
    items::T
end

"""
    epochs(tracker, n)
    epochs(tracker, items)

Iterates over `1:n`, or over the items, with an epoch around each pass of the loop body:

    for epoch in epochs(tracker, 10)
        train_one_epoch()
    end

The body may end its epoch early by [`epoch_end!`](@ref), so that the rest (validation) is between
epochs, or cancel it. `break` or an exception leaves the epoch open, because Julia does not notify an
iterator: the next begin, or `close`, cancels it. To count that pass, call `epoch_end!` before
`break`. To cancel it at once, use [`epoch!`](@ref). An epoch that begins inside another cancels that
one. The notes of the report count these cancellations, and a message reports the first.
"""
epochs(tracker::Tracker, n::Integer) = Epochs(tracker, Base.OneTo(n))
epochs(tracker::Tracker, items) = Epochs(tracker, items)

"""
    remaining(tracker, n)

Iterates as [`epochs`](@ref), from the epoch after those that earlier attempts of the run have done, up to
`n`. In a run without the option `resume` these are all `n`:

    tracker = Tracker(epochs = 100, resume = "logs")
    for epoch in remaining(tracker, 100)   # 43:100 if 42 epochs are done
        train_one_epoch()
    end
"""
remaining(tracker::Tracker, n::Integer) = Epochs(tracker, epochs_done(tracker)+1:Int(n))

epochs_done(tracker::Tracker) = Int(get(tracker, "/run/epochs_done", 0))

Base.iterate(epochs::Epochs) = next_epoch(epochs.tracker, iterate(epochs.items))
function Base.iterate(epochs::Epochs, state)
    end_if_open(epochs.tracker)
    return next_epoch(epochs.tracker, iterate(epochs.items, state))
end

function next_epoch(tracker::Tracker, next)
    next === nothing || begin_epoch(tracker, BY_LOOP)
    return next
end

struct Batches{T} <: Marked{T}
    tracker::Tracker
    items::T
    total::Int
end

"""
    batches(tracker, items)

Iterates over the items and sets the [progress](@ref progress!) of the epoch after each. Use it for
the data of an epoch: `Flux.train!(loss, model, batches(tracker, loader), optimiser)`. Items without
a length give no progress.
"""
batches(tracker::Tracker, items) = Batches(tracker, items, Int(count_of(items, Base.IteratorSize(items))))

count_of(items, ::Union{Base.HasLength,Base.HasShape}) = length(items)
count_of(items, ::Base.IteratorSize) = 0

Base.iterate(batches::Batches) = with_count(iterate(batches.items), 0)
function Base.iterate(batches::Batches, (state, done))
    batches.total >= done > 0 && mark_if_open(batches.tracker, done, batches.total)
    return with_count(iterate(batches.items, state), done)
end

with_count(::Nothing, done) = nothing
with_count((item, state), done) = (item, (state, done + 1))

"""
    batch_callback(tracker, n)

Returns a function to call after every batch, with any arguments, if an epoch has `n` batches. Use it
in your own loops, and with Flux's older `train!`, which has implicit parameters:

    Flux.train!(loss, parameters, data, optimiser; cb = batch_callback(tracker, length(data)))

`batch_callback` begins an epoch. Each call sets its progress, and each `n`th call ends it and begins
the next. An epoch that never ends is cancelled, as is one that a new callback replaces before its
first batch. So make a callback for each `train!` if other work happens in between.
"""
function batch_callback(tracker::Tracker, n::Integer)
    n > 0 || throw(ArgumentError("batch_callback: an epoch of $n batches"))
    done = Ref(0)
    begin_epoch(tracker, BY_CALLBACK)
    return function (_...)
        done[] += 1
        mark_if_open(tracker, done[], n)
        if done[] == n
            done[] = 0
            end_if_open(tracker)
            begin_epoch(tracker, BY_CALLBACK)
        end
        return nothing
    end
end

"""
    fluxtraining_callback(tracker; phases = FluxTraining.AbstractTrainingPhase, batches = nothing)

A FluxTraining callback: each epoch of the given phases is an epoch of the tracker. The default is
training only; `FluxTraining.Phases.Phase` includes validation, as separate epochs. If `batches` is
the number of batches of an epoch, the callback sets the progress.

    learner = Learner(model, lossfn; callbacks = [fluxtraining_callback(tracker)])

If an exception, such as `CancelFittingException`, leaves an epoch open, the next begin or `close`
cancels it. Needs `using FluxTraining`, and Julia 1.9 or newer.
"""
fluxtraining_callback(arguments...; keywords...) = error("fluxtraining_callback: load FluxTraining first")
