@testset "options" begin
    @testset "by keyword, as text, or both" begin
        Tracker(epochs = 7, sim_cpu = "x:100", location = nothing) do tracker
            @test isopen(tracker)
            @test tracker["/run/epochs_planned"] == 7
            @test tracker["/intensity/g_per_kwh"] > 0 # the average of the world
        end
        Tracker("epochs=7 sim_cpu=x:100"; epochs = 8) do tracker
            @test tracker["/run/epochs_planned"] == 8
        end
        Tracker(SIMULATED, components = [:cpu, "gpu"]) do tracker
            @test isopen(tracker)
        end
        @test Tracker(tracker -> 42, SIMULATED) == 42
    end

    @testset "values keep their digits and characters" begin
        names = ["two words", "it's", "back\\slash \\'", "tab\tand\nline", "æøå ∑", "a=b c=d", "=", "#"]
        for name in names
            Tracker(sim_cpu = "x:100", name = name) do tracker
                # A report contains no control characters, because a terminal might interpret them.
                @test report(tracker, NamedTuple).run.name == replace(name, r"[[:cntrl:]]" => " ")
            end
        end
        for intensity in (0.1, 1 / 3, 1.0e-5, 1.0f-5, 1 // 8, pi, 12, 0x10, big"0.1")
            Tracker(sim_cpu = "x:100", intensity = intensity) do tracker
                @test tracker["/intensity/g_per_kwh"] ≈ Float64(intensity) rtol = 1e-7
                intensity isa Float64 && @test tracker["/intensity/g_per_kwh"] === intensity
            end
        end
    end

    @testset "errors come from the library, by name" begin
        failure, = thrown(() -> Tracker(epoch = 3))
        @test failure isa CarbonError && failure.status == CarbonTracker.CT_EINVAL
        @test occursin("did you mean epochs?", failure.message)
        @test occursin("did you mean epochs?", sprint(showerror, failure))
        failure, = thrown(() -> Tracker("location=nowhere"))
        @test failure isa CarbonError && occursin("nowhere", failure.message)
        @test_throws ArgumentError Tracker(name = "a\0b")
    end

    @testset "disabled" begin
        untracked = Tracker(nothing)
        withenv("CARBONTRACKER_DISABLE" => "1") do
            for tracker in (untracked, Tracker(epochs = 3, log = true), Tracker(nothing, epochs = 3))
                @test !isopen(tracker)
                @test epoch!(() -> 42, tracker) == 42
                epoch_begin!(tracker)
                progress!(tracker, 1, 0)
                @test epoch_end!(tracker) == false
                epoch_cancel!(tracker)
                @test collect(epochs(tracker, 3)) == 1:3
                @test collect(batches(tracker, "abc")) == ['a', 'b', 'c']
                @test batch_callback(tracker, 1)() === nothing
                @test tracker["/usage/energy_j"] === nothing && get(tracker, "/pue", NaN) === NaN
                @test report(tracker) == "" && report(tracker, NamedTuple) === nothing
                @test usage(tracker) === nothing && forecast(tracker) === nothing
                @test messages(tracker) == String[] && !over_budget(tracker)
                @test occursin("closed", string(tracker))
                close(tracker)
            end
        end
    end
end
