# With a stand-in whose calls take 0.3 s: while one waits, another thread's garbage collection must come through.
using CarbonTracker

Threads.nthreads() > 1 || error("it takes two threads")

# Whether a collection took less than what the call still had to wait. Where calls hold it up that cannot be.
function overlaps(call)
    has_entered = Threads.Atomic{Bool}(false)
    waiting = Threads.@spawn begin
        has_entered[] = true
        call()
    end
    while !has_entered[] # without a task switch, so that the other thread takes it
        GC.safepoint()
    end
    Libc.systemsleep(0.05)
    seconds = @elapsed GC.gc()
    wait(waiting)
    return seconds < 0.2
end

const tracker = Tracker()
calls = [
    "create" => () -> Tracker("wait"),
    "value" => () -> tracker["/usage/energy_j"],
    "report" => () -> report(tracker),
    "close" => () -> close(Tracker()),
]
foreach(call -> call.second(), calls) # compiled
for (name, call) in calls
    println(name, " ", any(_ -> overlaps(call), 1:5))
end
