# With a strict stand-in for the library. Whatever threads do, no call runs during or after a tracker's end.
using CarbonTracker

Threads.nthreads() > 1 || error("the test needs two threads")

# Ends the tracker by `close`, or as the garbage collector does.
finish(tracker, by_hand) = by_hand ? close(tracker) : finalize(tracker)

function call_all(tracker)
    epoch!(() -> nothing, tracker)
    progress!(tracker, 1, 2)
    tracker["/usage/energy_j"]
    report(tracker)
    messages(tracker)
    epoch_cancel!(tracker)
end

# Runs `f` in another thread and returns when it has started. It must not switch tasks, or this thread might run `f`.
function beside(f)
    is_there = Threads.Atomic{Bool}(false)
    task = Threads.@spawn begin
        is_there[] = true
        f()
    end
    while !is_there[]
        GC.safepoint()
    end
    return task
end

function race(round)
    tracker = Tracker()
    other = beside() do
        while isopen(tracker)
            call_all(tracker)
        end
    end
    foreach(_ -> call_all(tracker), 1:(round % 5))
    finish(tracker, isodd(round))
    call_all(tracker)
    wait(other)

    tracker = Tracker()
    other = beside(() -> (call_all(tracker); finish(tracker, round % 3 == 0)))
    round % 2 == 0 && call_all(tracker)
    finish(tracker, isodd(round))
    wait(other)
end

# If the system has no thread left, lost trackers are collected and the call is tried again.
isopen(Tracker("refused once")) || error("not tried again")

foreach(race, 1:1000)
println("1000 races")

# The program exits while another thread still makes calls.
const trackers = [Tracker() for _ in 1:50]
beside() do
    while true
        foreach(call_all, trackers)
    end
end
Libc.systemsleep(0.1)
