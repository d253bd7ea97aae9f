# The callback for FluxTraining.jl. Julia loads it if both packages are loaded.
module CarbonTrackerFluxTrainingExt

using CarbonTracker
using FluxTraining: FluxTraining, Callback
using FluxTraining.Events: EpochBegin, EpochEnd, StepEnd
using FluxTraining.Phases: AbstractTrainingPhase, Phase

mutable struct EpochCallback <: Callback
    tracker::Tracker
    phases::Type
    batches::Union{Int,Nothing}
    done::Int
end

function CarbonTracker.fluxtraining_callback(
    tracker::Tracker; phases::Type = AbstractTrainingPhase, batches::Union{Integer,Nothing} = nothing
)
    return EpochCallback(tracker, phases, batches, 0)
end

function FluxTraining.on(::EpochBegin, phase::Phase, callback::EpochCallback, learner)
    phase isa callback.phases || return
    callback.done = 0
    # FluxTraining does not report the end of an epoch if an exception ends it, such as a skipped epoch.
    CarbonTracker.begin_epoch(callback.tracker, CarbonTracker.BY_CALLBACK)
end

function FluxTraining.on(::StepEnd, phase::Phase, callback::EpochCallback, learner)
    (phase isa callback.phases && callback.batches !== nothing) || return
    callback.done += 1
    callback.done <= callback.batches && CarbonTracker.mark_if_open(callback.tracker, callback.done, callback.batches)
    return
end

function FluxTraining.on(::EpochEnd, phase::Phase, callback::EpochCallback, learner)
    phase isa callback.phases && CarbonTracker.end_if_open(callback.tracker)
    return
end

end
