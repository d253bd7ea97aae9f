@testset "FluxTraining" begin
    @test_throws ErrorException("fluxtraining_callback: load FluxTraining first") fluxtraining_callback(Tracker(nothing))

    # The real one cannot be had everywhere. Before Julia 1.9 nobody loads extensions, and a mock is no weak dependency.
    include("mock/FluxTraining.jl")
    extension = joinpath(@__DIR__, "..", "ext", "CarbonTrackerFluxTrainingExt.jl")
    source = replace(read(extension, String), "using FluxTraining" => "using ..FluxTraining")
    include_string(@__MODULE__, source, extension)
    fit!(f, callback, epochs) = Base.invokelatest(FluxTraining.fit!, f, callback, epochs, 1:4)

    simulated() do tracker
        callback = Base.invokelatest(fluxtraining_callback, tracker)
        fit!(_ -> nothing, callback, 3)
        @test epochs_done(tracker) == 3

        # An epoch that is skipped, and a fit that is given up: neither counts, both may be followed by another.
        fit!(batch -> batch == 2 && throw(FluxTraining.CancelEpochException()), callback, 2)
        @test epochs_done(tracker) == 3
        failure, = thrown(() -> fit!(_ -> throw(FluxTraining.CancelFittingException()), callback, 2))
        @test failure isa FluxTraining.CancelFittingException
        fit!(_ -> nothing, callback, 1)
        @test epochs_done(tracker) == 4
        # What the step ended itself is no error.
        fit!(batch -> batch == 4 && epoch_end!(tracker), callback, 1)
        @test epochs_done(tracker) == 5
    end

    simulated() do tracker
        marks = Float64[]
        callback = Base.invokelatest(fluxtraining_callback, tracker; batches = 4)
        fit!(_ -> push!(marks, something(tracker["/run/progress"], 0)), callback, 2)
        @test marks == [0, 0.25, 0.5, 0.75, 0, 0.25, 0.5, 0.75]
    end

    simulated() do tracker
        callback = Base.invokelatest(fluxtraining_callback, tracker; phases = FluxTraining.Phases.Phase)
        fit!(_ -> nothing, callback, 3)
        @test epochs_done(tracker) == 6
    end
end
