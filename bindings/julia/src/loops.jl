# Epochs and progress: by hand, as a block, as an iteration, as a callback.

# One of the library's calls that take nothing but the tracker.
mark(f::Ptr{Cvoid}, tracker::Tracker) = attempt(ptr -> ccall(f, Int32, (Ptr{Cvoid},), ptr), tracker)

"""
    epoch_begin!(tracker)

Begins an epoch. Throws [`CarbonError`](@ref) (`CT_ESTATE`) if one is open already.
"""
epoch_begin!(tracker::Tracker) = begin_epoch(tracker, BY_HAND)

"""
    epoch_end!(tracker) -> Bool

Ends the epoch; whether the run's forecast now passes a budget, as [`over_budget`](@ref) says.
Throws [`CarbonError`](@ref) (`CT_ESTATE`) if no epoch is open.
"""
epoch_end!(tracker::Tracker) = end_epoch(tracker, false)

"""
    epoch_cancel!(tracker)

Drops the open epoch: it does not count and does not colour the forecast; what it used counts as
energy between epochs. Throws [`CarbonError`](@ref) (`CT_ESTATE`) if no epoch is open.
"""
function epoch_cancel!(tracker::Tracker)
    check(cancel_epoch(tracker))
    return
end

# A begin drops the open epoch of a callback or a loop. A callback's was only begun in advance. A loop's was left open,
# or this one begins inside it: there the library refuses the first call and counts it, and a message reports it.
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

# That it is not open any more is noted first: once it has ended, another thread may begin the next.
function cancel_epoch(tracker::Tracker)
    tracker.begun_by = BY_NOBODY
    return mark(lib.ct_epoch_cancel, tracker)
end

function end_epoch(tracker::Tracker, may_be_ended::Bool)
    may_be_ended && tracker.begun_by == BY_NOBODY && return tracker.is_over_budget
    tracker.begun_by = BY_NOBODY
    status = mark(lib.ct_epoch_end, tracker)
    may_be_ended && status == CT_ESTATE && return tracker.is_over_budget
    check(status)
    tracker.is_over_budget = status == CT_OVER_BUDGET
    tracker.log && log_messages(tracker)
    return tracker.is_over_budget
end

# Ends an epoch that the loop's own body may have ended or cancelled.
end_if_open(tracker::Tracker) = end_epoch(tracker, true)

"""
    epoch!(f, tracker)

Runs `f()` as an epoch and returns its value. If it throws, the epoch is cancelled and the exception
goes on as it was.

    loss = epoch!(tracker) do
        train_one_epoch()
    end
"""
function epoch!(f, tracker::Tracker)
    epoch_begin!(tracker)
    value = try
        f()
    catch
        tracker.begun_by == BY_NOBODY || cancel_epoch(tracker) # only the user's exception counts
        rethrow()
    end
    end_if_open(tracker)
    return value
end

"""
    over_budget(tracker) -> Bool

Whether, after the epoch that ended last, the run's forecast passes `budget_kwh`, `budget_g` or
`budget_h`. It is judged on epochs whose readings are in, so it may come one epoch late. The library
only says so: the loop decides what to do.
"""
over_budget(tracker::Tracker) = tracker.is_over_budget

"""
    progress!(tracker, done, total)

Says how far the open epoch is: `done` of `total` batches or time steps. It is cheap; in the first
epoch it brings a forecast before the epoch ends. Throws [`CarbonError`](@ref) if no epoch is open
(`CT_ESTATE`), or if `total` is 0 or less than `done` (`CT_EINVAL`).
"""
function progress!(tracker::Tracker, done::Integer, total::Integer)
    check(mark_progress(tracker, done, total))
    return
end

function mark_progress(tracker::Tracker, done::Integer, total::Integer)
    # They are unsigned in C; what is below 0 is as wrong as more done than there is.
    done, total = done < 0 ? (1, 0) : (done, max(total, 0))
    call(ptr) = ccall(lib.ct_progress, Int32, (Ptr{Cvoid}, UInt64, UInt64), ptr, done, total)
    return attempt(call, tracker)
end

# The same where the epoch may be ended already, or none was begun: then there is nothing to mark.
function mark_if_open(tracker::Tracker, done::Integer, total::Integer)
    tracker.begun_by == BY_NOBODY || mark_progress(tracker, done, total)
    return
end

# An iterator that is another one with marks between its items.
abstract type Marked end

Base.IteratorSize(::Type{<:Marked}) = Base.SizeUnknown()
Base.IteratorEltype(::Type{<:Marked}) = Base.EltypeUnknown()

struct Epochs{T} <: Marked
    tracker::Tracker
    items::T
end

"""
    epochs(tracker, n)
    epochs(tracker, items)

Iterates `1:n`, or the items, with an epoch around each pass of the loop's body:

    for epoch in epochs(tracker, 10)
        train_one_epoch()
    end

The body may end its epoch earlier by [`epoch_end!`](@ref), so that what follows (validation) lies
between epochs, or cancel it. A pass that is left by `break` or an exception leaves its epoch open, as
Julia does not tell an iterator: the next epoch to begin, or `close`, drops it. To count that pass,
call `epoch_end!` before `break`; to have it cancelled at once, use [`epoch!`](@ref). An epoch that
begins inside another drops that one. Each time that an epoch is dropped so is counted in the report's
notes, and the first makes a message.
"""
epochs(tracker::Tracker, n::Integer) = Epochs(tracker, Base.OneTo(n))
epochs(tracker::Tracker, items) = Epochs(tracker, items)

Base.iterate(epochs::Epochs) = next_epoch(epochs.tracker, iterate(epochs.items))
function Base.iterate(epochs::Epochs, state)
    end_if_open(epochs.tracker)
    return next_epoch(epochs.tracker, iterate(epochs.items, state))
end

function next_epoch(tracker::Tracker, next)
    next === nothing || begin_epoch(tracker, BY_LOOP)
    return next
end

struct Batches{T} <: Marked
    tracker::Tracker
    items::T
    total::Int
end

"""
    batches(tracker, items)

Iterates the items and marks the epoch's [progress](@ref progress!) after each: for the data of an
epoch, as in `Flux.train!(loss, model, batches(tracker, loader), optimiser)`. Items without a length
are iterated without marks.
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

A function to be called after every batch, with any arguments, where an epoch has `n` batches: for
loops of one's own, and for Flux's older `train!`, with implicit parameters:

    Flux.train!(loss, parameters, data, optimiser; cb = batch_callback(tracker, length(data)))

It begins an epoch when it is made, marks its progress at each call, and at each `n`th call ends it
and begins the next. That one is dropped if it never ends, or if another callback is made before it
is used; so make one for each `train!` where something else happens in between.
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

A FluxTraining callback: each epoch of the given phases is an epoch of the tracker, training alone by
default; `FluxTraining.Phases.Phase` takes validation too, as epochs of its own. Told how many
`batches` an epoch has, it marks their progress.

    learner = Learner(model, lossfn; callbacks = [fluxtraining_callback(tracker)])

An epoch that an exception left open, `CancelFittingException` among them, is dropped when the next
begins or the tracker is closed. Needs `using FluxTraining`, and Julia 1.9 or newer.
"""
fluxtraining_callback(arguments...; keywords...) = error("fluxtraining_callback: load FluxTraining first")
