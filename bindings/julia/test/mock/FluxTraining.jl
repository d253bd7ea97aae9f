# A mock of FluxTraining.jl, with the names and the order of events that the extension uses.
module FluxTraining

module Phases
abstract type Phase end
abstract type AbstractTrainingPhase <: Phase end
struct TrainingPhase <: AbstractTrainingPhase end
struct ValidationPhase <: Phase end
export Phase, AbstractTrainingPhase, TrainingPhase, ValidationPhase
end

module Events
abstract type Event end
for name in (:EpochBegin, :EpochEnd, :StepBegin, :StepEnd)
    @eval struct $name <: Event end
    @eval export $name
end
end

using .Phases, .Events

abstract type AbstractCallback end
abstract type SafeCallback <: AbstractCallback end
const Callback = SafeCallback

struct CancelEpochException <: Exception end
struct CancelFittingException <: Exception end

on(::Events.Event, phase, ::Callback, learner) = nothing

# An epoch. After an exception there is no EpochEnd. Only CancelEpochException does not propagate.
function epoch!(step, callback, phase, batches)
    try
        on(EpochBegin(), phase, callback, nothing)
        for batch in batches
            on(StepBegin(), phase, callback, nothing)
            step(batch)
            on(StepEnd(), phase, callback, nothing)
        end
        on(EpochEnd(), phase, callback, nothing)
    catch failure
        failure isa CancelEpochException || rethrow()
    end
end

function fit!(step, callback, epochs, batches)
    for _ in 1:epochs
        epoch!(step, callback, Phases.TrainingPhase(), batches)
        epoch!(identity, callback, Phases.ValidationPhase(), batches)
    end
end

end
