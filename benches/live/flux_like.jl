# A network in plain Julia, without packages: examples/digits.csv, layers whose sizes are part of their types, gradients
# by closures as in Flux. Julia compiles each layer's own code in the first batch, which takes most of the run's time.
using CarbonTracker
using LinearAlgebra
using Random

const BATCH, PIXELS, CLASSES, TESTS = 32, 64, 10, 300

# The layers. `forward` returns the output, and a function that turns its gradient into those of input and parameters.
struct Dense{In,Out,F}
    w::Matrix{Float32}
    b::Vector{Float32}
    activation::F
end
Dense(in::Int, out::Int, f) = Dense{in,out,typeof(f)}(randn(Float32, out, in) .* sqrt(2f0 / in), zeros(Float32, out), f)

struct Norm{N}
    gain::Vector{Float32}
    bias::Vector{Float32}
end
Norm(n::Int) = Norm{n}(ones(Float32, n), zeros(Float32, n))

struct Skip{C<:Tuple}
    layers::C
end

relu(x) = max(x, zero(x))
slope(::typeof(relu), x) = x > 0 ? one(x) : zero(x)
slope(::typeof(tanh), x) = 1 - tanh(x)^2
softplus(x) = log1p(exp(-abs(x))) + max(x, zero(x))
slope(::typeof(softplus), x) = 1 / (1 + exp(-x))
swish(x) = x / (1 + exp(-x))
slope(::typeof(swish), x) = (s = 1 / (1 + exp(-x)); s + x * s * (1 - s))
elu(x) = x > 0 ? x : exp(x) - 1
slope(::typeof(elu), x) = x > 0 ? one(x) : exp(x)
slope(::typeof(identity), x) = one(x)

function forward(layer::Dense, x)
    z = layer.w * x .+ layer.b
    back(dy) = (dz = dy .* slope.(layer.activation, z); (layer.w' * dz, (dz * x', vec(sum(dz, dims = 2)))))
    return layer.activation.(z), back
end

function forward(layer::Norm{N}, x) where {N}
    centred = x .- sum(x, dims = 1) ./ N
    scale = 1 ./ sqrt.(sum(abs2, centred, dims = 1) ./ N .+ 1f-5)
    unit = centred .* scale
    function back(dy)
        du = dy .* layer.gain
        dx = scale .* (du .- sum(du, dims = 1) ./ N .- unit .* sum(du .* unit, dims = 1) ./ N)
        return dx, (vec(sum(dy .* unit, dims = 2)), vec(sum(dy, dims = 2)))
    end
    return unit .* layer.gain .+ layer.bias, back
end

function forward(layer::Skip, x)
    y, inner = forward(layer.layers, x)
    back(dy) = ((dx, gradients) = inner(dy); (dx .+ dy, gradients))
    return x .+ y, back
end

forward(::Tuple{}, x) = x, dy -> (dy, ())
function forward(layers::Tuple, x)
    middle, back_first = forward(first(layers), x)
    y, back_rest = forward(Base.tail(layers), middle)
    function back(dy)
        dmiddle, rest = back_rest(dy)
        dx, own = back_first(dmiddle)
        return dx, (own, rest...)
    end
    return y, back
end

parameters(layer::Dense) = (layer.w, layer.b)
parameters(layer::Norm) = (layer.gain, layer.bias)
parameters(layer::Skip) = parameters(layer.layers)
parameters(layers::Tuple) = map(parameters, layers)

# Adam, by the structure of the parameters.
moments(p::Array) = (zero(p), zero(p))
moments(p::Tuple) = map(moments, p)
function update!(p::Array, g, (m, v), rate)
    @. m = 0.9f0 * m + 0.1f0 * g
    @. v = 0.999f0 * v + 0.001f0 * g^2
    @. p -= rate * m / (sqrt(v) + 1f-8)
    return
end
update!(p::Tuple, g, state, rate) = foreach((p, g, s) -> update!(p, g, s, rate), p, g, state)

function cross_entropy(scores, labels)
    shifted = exp.(scores .- maximum(scores, dims = 1))
    probability = shifted ./ sum(shifted, dims = 1)
    target = Float32.((1:CLASSES) .== labels')
    return -sum(target .* log.(probability .+ 1f-9)) / length(labels), (probability .- target) ./ length(labels)
end

# A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment.
function read_images(path)
    lines = filter(line -> !startswith(line, '#'), readlines(path))
    pixel(c) = Float32((c <= '9' ? c - '0' : c - 'a' + 10) / 16)
    return [pixel(line[i]) for i in 1:PIXELS, line in lines], [line[PIXELS + 2] - '0' + 1 for line in lines]
end

function accuracy(layers, images, labels)
    scores, _ = forward(layers, images)
    return sum(getindex.(argmax(scores, dims = 1), 1)[:] .== labels) / length(labels)
end

# The recorder, as in trial.h.
mutable struct Trial
    tracker::Tracker
    has_marks::Bool
    epochs::Int
    ended::Int
    is_over::Bool
    messages::Int
    warnings::Int
end

const POINTERS = ["/usage/duration_s", "/usage/energy_j",
    "/forecast/duration_s/value", "/forecast/duration_s/low", "/forecast/duration_s/high",
    "/forecast/energy_j/value", "/forecast/energy_j/low", "/forecast/energy_j/high"]

function record(t::Trial)
    marks = t.has_marks ? "marks" : "plain"
    for message in messages(t.tracker)
        t.messages += 1
        t.warnings += occursin("budget_", message) # it names a budget
        println("flux_like, $marks, after $(t.ended): $message")
    end
    short(number) = number == "" ? "" : round(number, sigdigits = 6)
    numbers = [short(get(t.tracker, pointer, "")) for pointer in POINTERS]
    fields = ["flux_like", marks, get(ENV, "TRIAL_LABEL", "none,1"), t.epochs, t.ended, Int(t.is_over), t.messages,
        t.warnings, round(Sys.loadavg()[1], digits = 2), numbers...,
        get(ENV, "CARBONTRACKER_BUDGET_H", ""), get(ENV, "CARBONTRACKER_BUDGET_KWH", "")]
    open(io -> println(io, join(fields, ",")), get(ENV, "TRIAL_CSV", "/dev/stdout"), "a")
end

function train_one_epoch(t, layers, state, images, labels)
    order = shuffle(TESTS+1:length(labels))
    batches = collect(Iterators.partition(order, BATCH))
    for (done, batch) in enumerate(batches)
        scores, back = forward(layers, images[:, batch])
        _, dscores = cross_entropy(scores, labels[batch])
        _, gradients = back(dscores)
        update!(parameters(layers), gradients, state, 1f-3)
        t.has_marks && progress!(t.tracker, done, length(batches))
    end
end

# The evaluation is between the epochs. Its first call compiles too.
function main(has_marks)
    println(stderr, "Julia ", VERSION)
    Random.seed!(17)
    BLAS.set_num_threads(1)
    t = Trial(Tracker(), has_marks, parse(Int, get(ENV, "CARBONTRACKER_EPOCHS", "0")), 0, false, 0, 0)
    images, labels = read_images("examples/digits.csv")
    block(n, f) = Skip((Norm(n), Dense(n, n + 8, f), Dense(n + 8, n, identity)))
    blocks(n) = map(f -> block(n, f), (relu, tanh, softplus, swish, elu))
    layers = (Dense(PIXELS, 64, relu), blocks(64)..., Dense(64, 48, swish), blocks(48)..., Dense(48, 32, elu),
        blocks(32)..., Norm(32), Dense(32, CLASSES, identity))
    state = moments(parameters(layers))
    record(t)
    right = 0.0
    for _ in 1:t.epochs
        epoch_begin!(t.tracker)
        train_one_epoch(t, layers, state, images, labels)
        t.is_over = epoch_end!(t.tracker)
        t.ended += 1
        record(t)
        right = accuracy(layers, images[:, 1:TESTS], labels[1:TESTS])
    end
    println(stderr, "accuracy ", right)
    close(t.tracker)
end

main(ARGS == ["marks"])
