# Trains a softmax regression on handwritten digits and tracks it. This folder has the same program in every language.
#   JULIA_LOAD_PATH=PREFIX/share/julia/dev: julia digits.jl digits.csv

using CarbonTracker
using Printf

const EPOCHS, BATCH, PIXELS, CLASSES, MOST = 10, 32, 64, 10, 2000
const RATE = 0.5

const images = zeros(PIXELS + 1, MOST) # one column per image; its last value is 1, for the bias
const digits = zeros(Int, MOST)
const weights, gradient = zeros(PIXELS + 1, CLASSES), zeros(PIXELS + 1, CLASSES)

# A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment.
function read_images(path)
    count = 0
    isfile(path) || return count
    for line in eachline(path)
        startswith(line, '#') && continue
        count == MOST && break
        count += 1
        for i in 1:PIXELS
            images[i, count] = (line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10) / 16
        end
        images[PIXELS + 1, count] = 1
        digits[count] = line[PIXELS + 2] - '0' + 1 # the class: Julia counts from 1
    end
    return count
end

# Computes the probability of each class for image n; returns the most probable class.
function predict!(probability, n)
    sum, best = 0.0, 1
    for c in 1:CLASSES
        score = 0.0
        for i in 1:PIXELS+1
            score += weights[i, c] * images[i, n]
        end
        probability[c] = exp(score)
        sum += probability[c]
        if probability[c] > probability[best]
            best = c
        end
    end
    probability ./= sum
    return best
end

# Makes one step of gradient descent on some images; returns the sum of their losses.
function step!(batch)
    loss, probability = 0.0, zeros(CLASSES)
    fill!(gradient, 0)
    for n in batch
        predict!(probability, n)
        loss -= log(probability[digits[n]])
        for c in 1:CLASSES, i in 1:PIXELS+1
            gradient[i, c] += (probability[c] - (c == digits[n])) * images[i, n]
        end
    end
    for c in 1:CLASSES, i in 1:PIXELS+1
        weights[i, c] -= RATE * gradient[i, c] / length(batch)
    end
    return loss
end

function accuracy(tests)
    probability = zeros(CLASSES)
    right = 0
    for n in 1:tests
        right += predict!(probability, n) == digits[n]
    end
    return 100.0 * right / tests
end

function print_value(tracker, label, pointer, unit)
    value = tracker[pointer]
    if value === nothing
        @printf("%s unknown", label)
    else
        @printf("%s %.3f %s", label, value, unit)
    end
end

function start_tracker(options)
    try
        return Tracker(options)
    catch failure
        failure isa CarbonError || rethrow()
        println(stderr, "not tracked: ", failure.message)
        return Tracker(nothing) # a disabled tracker
    end
end

function main(arguments)
    count = isempty(arguments) ? 0 : read_images(arguments[1])
    tests = count ÷ 5 # the first fifth is the test set
    if count == 0
        println(stderr, "usage: julia digits.jl digits.csv [OPTIONS]")
        return 1
    end
    tracker = start_tracker(length(arguments) > 1 ? arguments[2] : "epochs=10 name=digits")

    for epoch in 1:EPOCHS
        loss = epoch!(tracker) do
            loss = 0.0
            for first in tests:BATCH:count-1
                last = min(first + BATCH, count)
                loss += step!(first+1:last)
                progress!(tracker, last - tests, count - tests)
            end
            loss
        end
        @printf("epoch %2d  loss %.4f  accuracy %.1f %%\n", epoch, loss / (count - tests), accuracy(tests))
        if epoch == 3
            print_value(tracker, "forecast: energy", "/forecast/energy_j/value", "J")
            print_value(tracker, ", time", "/forecast/duration_s/value", "s")
            println()
        end
    end
    foreach(message -> println("carbontracker: ", message), messages(tracker))
    print(report(tracker))
    close(tracker)
    return 0
end

exit(main(ARGS))
