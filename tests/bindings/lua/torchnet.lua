-- The hooks of a torchnet engine. The test's engine calls them in the order of tnt.SGDEngine and is as strict.
local check = require "check"
local ct = require "carbontracker"
local equal, raises = check.equal, check.raises

local calls = {}

local function unknown(_, name) error("unknown hook " .. name) end

local function new_engine()
  local hooks = {}
  for name in ("onStart onStartEpoch onSample onForward onBackward onUpdate onEndEpoch onEnd"):gmatch "%a+" do
    hooks[name] = function() end
  end
  setmetatable(hooks, {
    __index = unknown,
    __newindex = unknown,
    __call = function(self, name, state) return self[name](state) end,
  })
  return { hooks = hooks }
end

local function train(engine, iterator, epochs)
  local state = { iterator = iterator, maxepoch = epochs, epoch = 0, t = 0, training = true }
  engine.hooks("onStart", state)
  while state.epoch < state.maxepoch do
    engine.hooks("onStartEpoch", state)
    for sample in iterator.run() do
      state.sample = sample
      engine.hooks("onSample", state)
      engine.hooks("onForward", state)
      engine.hooks("onBackward", state)
      state.t = state.t + 1
      engine.hooks("onUpdate", state)
    end
    state.epoch = state.epoch + 1
    engine.hooks("onEndEpoch", state)
  end
  engine.hooks("onEnd", state)
end

-- `size` is the answer to exec "size". If it is nil, exec raises an error, as an iterator without a size does.
local function new_iterator(count, size)
  local iterator = {}
  function iterator.run()
    local i = 0
    return function()
      i = i + 1
      return i <= count and i or nil
    end
  end
  function iterator.exec(self, name)
    assert(self == iterator and name == "size")
    return size or error "unknown function <size>"
  end
  return iterator
end

local function play(size)
  calls = {}
  local t = ct.new(check.STEADY .. " epochs=2")
  local engine = new_engine()
  local function state_of(name)
    return function(state)
      local progress = t:value "/run/progress"
      calls[#calls + 1] = name .. state.t .. (progress and (" %.2f"):format(progress) or "")
    end
  end
  engine.hooks.onStartEpoch = state_of "start"
  engine.hooks.onUpdate = state_of "update"
  engine.hooks.onEndEpoch = state_of "end"
  ct.attach_torchnet(engine, t)
  train(engine, new_iterator(4, size), 2)
  equal(t:value "/run/epochs_done", 2)
  t:close()
  return table.concat(calls, ", ")
end

local WHOLE = "start0, update1 0.25, update2 0.50, update3 0.75, update4 1.00, end4, "
  .. "start4, update5 0.25, update6 0.50, update7 0.75, update8 1.00, end8"
equal(play(4), WHOLE)
equal(play { 4, 4 }, WHOLE)
equal(play(2), (WHOLE:gsub("update3 0.75, update4 1.00, end4", "update3 1.00, update4 1.00, end4")
  :gsub("1 0.25, update2 0.50", "1 0.50, update2 1.00", 1)))
equal(play(nil), (WHOLE:gsub("(update[1-4]) [0-9.]+", "%1")))

-- An error leaves the epoch open; the next one drops it.
local t = ct.new(check.STEADY)
local engine = new_engine()
engine.hooks.onForward = function(state) if state.epoch == 1 then error "out of memory" end end
ct.attach_torchnet(engine, t)
raises("out of memory", train, engine, new_iterator(4, 4), 3)
equal(t:value "/run/epochs_done", 1)
train(engine, new_iterator(4, 4), 1)
equal(t:value "/run/epochs_done", 2)

-- A disabled tracker changes nothing.
engine = new_engine()
ct.attach_torchnet(engine, ct.disabled())
train(engine, new_iterator(4, 4), 3)
print "passed"
