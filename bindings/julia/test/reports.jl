@testset "reports" begin
    simulated(epochs = 4, name = "played") do tracker
        @test tracker["/forecast/energy_j/value"] === nothing
        @test get(tracker, "/forecast/energy_j/value", -1) == -1
        @test forecast(tracker) === nothing
        foreach(_ -> sleep(0.02), epochs(tracker, 2))
        settle(tracker)

        @testset "numbers" begin
            @test tracker["/usage/energy_j"] isa Float64
            @test tracker["/epochs/7/energy_j"] === nothing && tracker[""] === nothing
            @test tracker["/epochs/length"] == 2
            @test tracker["/run/name", String] == "played" && tracker["/run/job", String] === nothing
            @test startswith(tracker["/components", String], "[{")
            failure, = thrown(() -> tracker["/usage/enrgy_j"])
            @test failure isa CarbonError && occursin("did you mean /usage/energy_j?", failure.message)
            failure, = thrown(() -> tracker["run/name", String])
            @test failure isa CarbonError && occursin("did you mean /run/name?", failure.message)
            @test tracker[SubString("/epochs/1/index!", 1, 15)] == 1
            @test tracker["/epochs/2/index"] === nothing
            @test_throws ArgumentError tracker["/a\0b"]
        end

        @testset "as NamedTuples" begin
            used, whole = usage(tracker), report(tracker, NamedTuple)
            @test used == whole.usage
            @test used.energy_j === tracker["/usage/energy_j"]
            @test used.between.duration_s === tracker["/usage/between/duration_s"]
            expected = forecast(tracker)
            @test expected.energy_j.value > used.energy_j
            @test expected.energy_j.high === tracker["/forecast/energy_j/high"]
            @test whole.run.name == "played" && whole.run.epochs_done === 2
            @test [epoch.index for epoch in whole.epochs] == [0, 1]
            @test whole.epochs[1].gpu_j === nothing
            @test whole.components[1].status == "simulated"
        end

        @testset "as text" begin
            @test occursin("played: 2 of 4 epochs", report(tracker))
            @test length(split(strip(report(tracker, :csv)), '\n')) == 3
            @test occursin("\"schema\"", report(tracker, "json"))
            @test occursin("energy", report(tracker, :prometheus))
            failure, = thrown(() -> report(tracker, :pdf))
            @test failure isa CarbonError && occursin("pdf", failure.message)
        end
    end

    @testset "at the prompt and in a notebook" begin
        simulated(name = "<shown>") do tracker
            @test occursin("<shown>: ", repr(MIME("text/plain"), tracker))
            page = repr(MIME("text/html"), tracker)
            @test startswith(page, "<iframe") && count(==('"'), page) % 2 == 0 && occursin("&amp;lt;shown&amp;gt;", page)
        end
        @test repr(MIME("text/plain"), Tracker(nothing)) == "CarbonTracker.Tracker(closed or disabled)"
        @test occursin("disabled", repr(MIME("text/html"), Tracker(nothing)))
    end

    @testset "longer than any buffer" begin
        simulated() do tracker
            foreach(_ -> nothing, epochs(tracker, 1500))
            text = report(tracker, :csv)
            @test length(text) > 8192 && length(split(strip(text), '\n')) == 1501
        end
        simulated(name = "n"^5000) do tracker
            @test occursin("n"^5000, report(tracker))
        end
    end

    @testset "messages" begin
        Tracker(sim_cpu = "x:100", epochs = 5) do tracker
            @test occursin("no location given", messages(tracker)[1])
            @test messages(tracker) == String[]
            foreach(_ -> sleep(0.02), epochs(tracker, 3))
            settle(tracker)
            @test any(message -> occursin("forecast after", message), messages(tracker))
        end
        logs, = Test.collect_test_logs() do
            Tracker(sim_cpu = "x:100", epochs = 5, log = true) do tracker
                foreach(_ -> sleep(0.02), epochs(tracker, 5))
                @test messages(tracker) == String[]
                settle(tracker)
            end
        end
        @test all(log -> log.level == Base.CoreLogging.Info && startswith(log.message, "carbontracker: "), logs)
        @test count(log -> occursin("no location given", log.message), logs) == 1
        @test count(log -> occursin("forecast after", log.message), logs) == 1
    end

    @testset "JSON" begin
        json = CarbonTracker.json
        @test json("{\"a\": [1, -2.5e3, null], \"b\":{}, \"c\" : [ ] }") == (a = [1, -2500.0, nothing], b = NamedTuple(), c = [])
        @test json("\"\\\"\\\\\\/\\n\\t\\r\\b\\f\\u001f \\u00e6∑\"") == "\"\\/\n\t\r\b\f\x1f æ∑"
        @test json("true") === true && json("false") === false && json("0.1") === 0.1 && json("12") === 12
    end
end
