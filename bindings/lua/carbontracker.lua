--- Measures and forecasts the energy and CO2e of a training loop.
--
--    local ct = require "carbontracker"
--    local t = ct.new { epochs = 10, location = "DK" }
--    for epoch in t:epochs(10) do
--      train(epoch)
--      for message in t:messages() do print(message) end
--    end
--    print(t:report())
--    t:close()
--
-- *Errors.* If the library refuses a call (an unknown option, a second begin, a closed tracker), the function raises an
-- error at the line of the call. `try_new` returns nil and the reason instead. An error inside an epoch cancels the
-- epoch and propagates unchanged. Calls that succeed return a status: "ok"; "disabled", by CARBONTRACKER_DISABLE=1 or
-- `disabled`; or "over_budget", from the end of an epoch.
--
-- *Units* are in the names of the report's numbers: _s seconds, _j joules, _kwh, _w watts, _g grams of CO2e.
--
-- *Threads.* Lua states share nothing, and the library calls no Lua function. Coroutines may share a tracker. In a
-- forked child a tracker of the parent raises an error; create a new one there.
--
-- Works on LuaJIT (through its FFI) and on Lua 5.1 to 5.4 (through the C module carbontracker.core).
-- CARBONTRACKER_LUA_BACKEND, `ffi` or `c`, selects one of the two.
-- @module carbontracker

local MODULES = { ffi = "carbontracker.ffi", c = "carbontracker.core" }

local CURE = [[

The loader must find libcarbontracker.so.0: run ldconfig after an installation, or set LD_LIBRARY_PATH to its directory
(for LuaJIT, CARBONTRACKER_LIB to the file also works). Lua 5.1 to 5.4 also need the C module carbontracker/core.so on
LUA_CPATH: `make install` builds it for each Lua whose headers are installed; luarocks builds it for its own Lua.]]

-- Returns the first backend that loads, and its name.
local function load_backend()
  local forced = os.getenv "CARBONTRACKER_LUA_BACKEND" or ""
  if forced ~= "" and not MODULES[forced] then
    error("carbontracker: CARBONTRACKER_LUA_BACKEND='" .. forced .. "': expected ffi or c", 0)
  end
  local names = forced ~= "" and { forced } or rawget(_G, "jit") and { "ffi", "c" } or { "c" }
  local problems = {}
  for _, name in ipairs(names) do
    local loaded, backend = pcall(require, MODULES[name])
    if loaded then return backend, name end
    problems[#problems + 1] = name .. ": " .. tostring(backend)
  end
  error("carbontracker cannot be loaded.\n" .. table.concat(problems, "\n") .. CURE, 0)
end

local backend, backend_name = load_backend()
local options_text = require "carbontracker.options"

local DISABLED, OVER_BUDGET, ESTATE, ENOENT = 1, 2, -2, -4
local STATUS = {
  [0] = "ok", [1] = "disabled", [2] = "over_budget", [-1] = "einval", [-2] = "estate", [-3] = "erange",
  [-4] = "enoent", [-5] = "eio", [-6] = "efork", [-7] = "epanic",
}

-- Whether `for` closes its fourth value, as in Lua 5.4. In other versions a loop that is left early is not noticed.
local loops_close = false
local probe = setmetatable({}, { __close = function() loops_close = true end })
for _ in function() end, nil, nil, probe do end

--- A tracked run. Close it at the end, or declare it `<close>` (Lua 5.4). The collector releases a forgotten tracker.
-- @type Tracker
local Tracker = {}
Tracker.__index = Tracker

--- One epoch, from `Tracker:scope`.
-- @type Epoch
local Epoch = {}
Epoch.__index = Epoch

-- `level` is the argument of error(), relative to the function that passes it on: 2 is the caller of that function.
local function fail(level)
  error("carbontracker: " .. backend.last_error(), level + 1)
end

local function live(tracker, level)
  if getmetatable(tracker) ~= Tracker then
    error("carbontracker: a tracker's functions are called with a colon, such as t:value(...)", level + 1)
  end
  return tracker.handle or error("carbontracker: the tracker is closed", level + 1)
end

local function cancel(tracker)
  tracker.current = nil
  return backend.epoch_cancel(tracker.handle)
end

-- `current` is the Epoch that is open; nil if epoch_begin() began it.
local function begin(tracker, epoch, level)
  local handle = live(tracker, level + 1)
  local status = backend.epoch_begin(handle)
  local left = tracker.current
  if status == ESTATE and left and left.loose then
    -- A loop left its epoch open, or this epoch begins inside it. The library has counted the call, and a message
    -- reports it.
    cancel(tracker)
    status = backend.epoch_begin(handle)
  end
  if status < 0 then fail(level + 1) end
  tracker.current = epoch
  return STATUS[status]
end

local function finish(tracker, level)
  local status = backend.epoch_end(live(tracker, level + 1))
  tracker.current = nil
  if status < 0 then fail(level + 1) end
  tracker.over = status == OVER_BUDGET
  return STATUS[status]
end

--- Begins an epoch: reads the clock and returns.
-- @treturn string "ok" or "disabled"
-- @raise an epoch is open already
function Tracker:epoch_begin()
  local status = begin(self, nil, 2)
  return status
end

--- Ends the open epoch: reads the clock and returns.
-- @treturn string "ok", "disabled", or "over_budget": the run passes `budget_kwh`, `budget_g` or `budget_h`, by its use,
-- or by the lower end of the forecast after two epochs in a row
-- @raise no epoch is open
function Tracker:epoch_end()
  local status = finish(self, 2)
  return status
end

--- Cancels the open epoch, for example after an error. It is not counted, and the forecast ignores it.
-- @treturn string "ok" or "disabled"
-- @raise no epoch is open
function Tracker:epoch_cancel()
  live(self, 2)
  local status = cancel(self)
  if status < 0 then fail(2) end
  return STATUS[status]
end

--- Whether the last ended epoch, or the last `run_progress`, returned "over_budget"; for loops by `epochs` and hooks.
-- @treturn boolean
function Tracker:over_budget()
  return self.over
end

local function new_epoch(tracker, loose)
  return setmetatable({ tracker = tracker, loose = loose }, Epoch)
end

--- Ends the epoch, if it is still open.
function Epoch:close()
  if self.tracker.current == self then finish(self.tracker, 2) end
end

--- Cancels the epoch, if it is still open. It never raises an error, so error handlers may call it.
function Epoch:cancel()
  if self.tracker.current == self then cancel(self.tracker) end
end

function Epoch:__close(problem)
  if problem ~= nil or self.is_whole == false then self:cancel() else self:close() end
end

--- Begins an epoch that ends with the scope of a variable. An error in the scope cancels it (Lua 5.4):
--
--    local epoch <close> = t:scope()
--
-- In other versions call its `close` or `cancel`.
-- @treturn Epoch
-- @raise an epoch is open already
function Tracker:scope()
  local epoch = new_epoch(self, false)
  begin(self, epoch, 2)
  return epoch
end

local function returned(epoch, ok, ...)
  if ok then
    epoch:close()
    return ...
  end
  epoch:cancel()
  error((...), 0)
end

local function once() return true end

local function whole(epoch, ...)
  epoch.is_whole = true
  return ...
end

--- Calls `f(...)` as one epoch. If it raises an error, the epoch is cancelled and the error propagates: in Lua 5.4 with
-- its whole traceback; in other versions the traceback ends here. In Lua 5.1, but not LuaJIT, `f` cannot yield.
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
-- @raise an epoch is open already
function Tracker:epoch(f, ...)
  if f == nil then error("carbontracker: epoch() takes a function; it got nil", 2) end
  local epoch = new_epoch(self, false)
  begin(self, epoch, 2)
  if loops_close then
    epoch.is_whole = false -- until f returns: it may raise nil, or its coroutine may be closed
    for _ in once, nil, nil, epoch do return whole(epoch, f(...)) end
  end
  return returned(epoch, pcall(f, ...))
end

local function iterate(self, count, n)
  local epoch = new_epoch(self, not loops_close)
  local function step()
    if self.current == epoch then finish(self, 2) end
    if not (count + 1 <= n) then return nil end
    begin(self, epoch, 2)
    count = count + 1
    return count
  end
  return step, nil, nil, epoch
end

--- Iterates over n epochs. Each ends where the next begins:
--
--    for epoch in t:epochs(10) do train(epoch) end
--
-- In Lua 5.4 an error in the loop body cancels its epoch (except the error nil, which looks like none), and `break`
-- ends it. Other versions do not notice that a loop is left: call `t:epoch_end()` before `break` there, which is
-- harmless in 5.4. If `break` or an error leaves an epoch open, the next begin cancels it, and a message reports it.
-- The same happens if an epoch begins inside another; Lua 5.4 raises an error then.
-- @tparam number n the number of epochs
-- @return an iterator over 1 to n
-- @raise an epoch is open already
function Tracker:epochs(n)
  live(self, 2)
  if type(n) ~= "number" then error("carbontracker: epochs() takes the number of epochs", 2) end
  return iterate(self, 0, n)
end

--- Iterates over the epochs after those that earlier attempts of the run have done, up to n, as `epochs` does:
--
--    local t = ct.new { epochs = 100, resume = "logs" }
--    for epoch in t:remaining(100) do train(epoch) end -- 43 to 100 if 42 epochs are done
--
-- @tparam number n the number of epochs of the whole run
-- @return an iterator up to n
-- @raise an epoch is open already
function Tracker:remaining(n)
  local handle = live(self, 2)
  if type(n) ~= "number" then error("carbontracker: remaining() takes the number of epochs", 2) end
  return iterate(self, math.floor(backend.value(handle, "/run/epochs_done") or 0), n)
end

-- Whether C takes this as a whole text.
local function is_text(value) return type(value) == "string" and not value:find "%z" end

local function phase_begin(tracker, name, level)
  local handle = live(tracker, level + 1)
  if not is_text(name) then error('carbontracker: a phase has a name such as "solve"', level + 1) end
  local status = backend.phase_begin(handle, name)
  if status < 0 then fail(level + 1) end
  return STATUS[status]
end

--- Begins a named phase within the open ones, in an epoch or outside. The report has its time and energy:
-- "/phases/rows/solve/energy_j", or "/phases/rows/step~1solve/energy_j" for a phase in "step".
-- @tparam string name 1 to 128 bytes of UTF-8
-- @treturn string "ok" or "disabled"
-- @raise the name is empty or too long; 64 phases are open
function Tracker:phase_begin(name)
  local status = phase_begin(self, name, 2)
  return status
end

--- Ends the innermost open phase.
-- @treturn string "ok" or "disabled"
-- @raise no phase is open
function Tracker:phase_end()
  local status = backend.phase_end(live(self, 2))
  if status < 0 then fail(2) end
  return STATUS[status]
end

-- Ends the phase of a function that was left. It raises no error, which would hide that of the function: the library
-- counts a refused end, and a message reports it.
local function leave_phase(tracker)
  if tracker.handle then backend.phase_end(tracker.handle) end
end

local PhaseEnd = { __close = function(scope) leave_phase(scope.tracker) end }

local function left(tracker, ok, ...)
  leave_phase(tracker)
  if ok then return ... end
  error((...), 0)
end

--- Calls `f(...)` as a named phase. The phase ends even if `f` raises an error, which propagates as from `epoch`. In Lua
-- 5.1, but not LuaJIT, `f` cannot yield.
-- @tparam string name
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
-- @raise as `phase_begin`
function Tracker:phase(name, f, ...)
  live(self, 2)
  if f == nil then error("carbontracker: phase() takes a name and a function; it got nil", 2) end
  phase_begin(self, name, 2)
  if loops_close then
    self.phase_scope = self.phase_scope or setmetatable({ tracker = self }, PhaseEnd)
    for _ in once, nil, nil, self.phase_scope do return f(...) end
  end
  return left(self, pcall(f, ...))
end

-- A Lua number holds integers up to 2^53 exactly.
local function is_count(number)
  return number and number >= 0 and number <= 9007199254740992
end

--- Sets the progress of the open epoch; call it as often as you like. In the first epoch it allows an early forecast.
-- @tparam number done batches or time steps done in this epoch
-- @tparam number total batches or time steps of this epoch
-- @treturn string "ok" or "disabled"
-- @raise total is 0 or less than done; no epoch is open
function Tracker:progress(done, total)
  local handle = live(self, 2)
  done, total = tonumber(done), tonumber(total)
  if not (is_count(done) and is_count(total)) then error("carbontracker: progress() takes two counts", 2) end
  local status = backend.progress(handle, done, total)
  if status < 0 then fail(2) end
  return STATUS[status]
end

--- Sets the progress of the whole run, in any unit, such as time steps, simulated time or tokens. It needs no epochs;
-- call it as often as you like, with 0 at the start, and at the end. `total` may change.
-- @tparam number done the work done; less than before is ignored
-- @tparam number total all the work, as it is known now
-- @treturn string "ok", "disabled", or "over_budget": the run passes a budget
-- @raise done is below 0, total is not above 0, or one is not finite
function Tracker:run_progress(done, total)
  local handle = live(self, 2)
  done, total = tonumber(done), tonumber(total)
  if not (done and total) then error("carbontracker: run_progress() takes two numbers", 2) end
  local status = backend.run_progress(handle, done, total)
  if status < 0 then fail(2) end
  self.over = status == OVER_BUDGET
  return STATUS[status]
end

--- One number of the JSON report, by its JSON Pointer: "/usage/energy_j", "/forecast/energy_j/high",
-- "/epochs/3/duration_s" (counted from 0), "/epochs/length" (their number). It may wait up to 1 s for the last epoch's
-- reading.
-- @tparam string pointer
-- @treturn ?number nil if the number does not exist yet or is unknown
-- @raise no report has a value at this pointer
function Tracker:value(pointer)
  local handle = live(self, 2)
  if not is_text(pointer) then error('carbontracker: value() takes a pointer such as "/usage/energy_j"', 2) end
  local value, status = backend.value(handle, pointer)
  if not value and status ~= ENOENT and status ~= DISABLED then fail(2) end
  return value
end

--- One value of the JSON report, by its JSON Pointer: a text as it is, such as "/intensity/zone" or "/notes/0"; anything
-- else as JSON, such as "/components". It waits as `value` does.
-- @tparam string pointer
-- @treturn ?string nil if the value does not exist yet or is unknown
-- @raise no report has a value at this pointer
function Tracker:text(pointer)
  local handle = live(self, 2)
  if not is_text(pointer) then error('carbontracker: text() takes a pointer such as "/intensity/zone"', 2) end
  local text, status = backend.text(handle, pointer)
  if not text and status ~= ENOENT and status ~= DISABLED then fail(2) end
  return text
end

--- The report. It may wait up to 1 s for the last epoch's reading.
-- @tparam[opt="text"] string format "text", "json", "csv" (a row per epoch), "prometheus" or "html"
-- @treturn string empty if the tracker is disabled
-- @raise the format is unknown
function Tracker:report(format)
  local handle = live(self, 2)
  if format == nil then format = "text" end
  if not is_text(format) then error('carbontracker: report() takes a format such as "json"', 2) end
  local text, status = backend.report(handle, format)
  if not text and status ~= DISABLED then fail(2) end
  return text or ""
end

--- Takes the oldest message: a warning, a forecast, an exceeded budget. It waits a few milliseconds for the reading that
-- closes the last epoch.
-- @treturn ?string nil if there is none
function Tracker:message()
  local text, status = backend.message(live(self, 2))
  if not text and status ~= ENOENT and status ~= DISABLED then fail(2) end
  return text
end

--- Takes all queued messages, one per iteration: `for message in t:messages() do print(message) end`.
function Tracker:messages()
  return Tracker.message, self
end

--- Ends the tracker: takes a last reading and stops the sampler, within 250 ms. A second `close` does nothing; any
-- other call raises an error.
function Tracker:close()
  local handle = self.handle
  if handle then
    self.handle, self.current = false, nil
    backend.destroy(handle)
  end
end

Tracker.__close = Tracker.close

--- The first line of the report, which shows the progress of the run.
function Tracker:__tostring()
  if not self.handle then return "carbontracker: closed" end
  local text, status = backend.report(self.handle, "text")
  if not text then return "carbontracker: " .. STATUS[status] end
  return "carbontracker: " .. text:match "^[^\n]*"
end

--- @section end

local ct = { backend = backend_name }

--- Makes a tracker, or returns the reason why it cannot.
-- @param[opt] options as for `new`
-- @treturn ?Tracker nil on failure
-- @treturn ?string the reason, on failure
-- @treturn ?string the status, on failure: "einval" for options, "eio" if no thread could be started
-- @usage
-- local t, why = ct.try_new { epochs = 10 }
-- if not t then
--   io.stderr:write("not tracked: ", why, "\n")
--   t = ct.disabled()
-- end
function ct.try_new(options)
  if options == ct then return nil, "call new with a dot: ct.new { epochs = 10 }", "einval" end
  local text, problem = options_text(options)
  if problem then return nil, problem, "einval" end
  local handle, status = backend.create(text)
  if not handle then return nil, backend.last_error(), STATUS[status] end
  return setmetatable({ handle = handle, over = false }, Tracker)
end

--- Makes a tracker and starts its sampling thread. If no device can be measured, the call still succeeds: energies are
-- nil, and a message explains how to enable measurement.
-- @param[opt] options a table by name, `{ epochs = 10, location = "DK", components = { "cpu", "gpu" } }`, or a string
-- "epochs=10 location=DK". The library's documentation lists the options. Each is also an environment variable, such as
-- CARBONTRACKER_EPOCHS; an option given here overrides it
-- @treturn Tracker a disabled one if CARBONTRACKER_DISABLE=1
-- @raise an option is unknown or its value is bad; no thread could be started
function ct.new(options)
  local tracker, problem = ct.try_new(options)
  return tracker or error("carbontracker: " .. problem, 2)
end

--- A tracker that does nothing, to continue untracked.
-- @treturn Tracker
function ct.disabled()
  return setmetatable({ handle = backend.disabled(), over = false }, Tracker)
end

--- The version of the library, such as "0.1.0".
-- @treturn string
function ct.version()
  return backend.version()
end

-- The number of batches of a torchnet epoch, if its iterator has it. A parallel iterator returns one number per thread.
local function batches(state)
  local ok, size = pcall(function() return state.iterator:exec "size" end)
  if ok and type(size) == "table" then size = size[1] end
  return ok and tonumber(size) or nil
end

--- Tracks the epochs of a torchnet engine: from the end of its onStartEpoch to the start of its onEndEpoch. Work in
-- onEndEpoch (a test, a checkpoint) counts as between epochs; onUpdate sets the progress. Existing hooks are still
-- called; set your own hooks before this call. If an error leaves an epoch open, the next begin cancels it.
-- @param engine a tnt.SGDEngine, tnt.OptimEngine or similar
-- @tparam Tracker tracker
function ct.attach_torchnet(engine, tracker)
  local hooks = engine.hooks
  local on_start, on_update, on_end = hooks.onStartEpoch, hooks.onUpdate, hooks.onEndEpoch
  local epoch = new_epoch(tracker, true)
  local done, total = 0, nil
  function hooks.onStartEpoch(state)
    on_start(state)
    done, total = 0, total or batches(state)
    begin(tracker, epoch, 2)
  end
  function hooks.onUpdate(state)
    done = done + 1
    if total and done <= total and tracker.current == epoch then tracker:progress(done, total) end
    return on_update(state)
  end
  function hooks.onEndEpoch(state)
    epoch:close()
    total = done -- the iterator may have counted batches that it filters out
    return on_end(state)
  end
end

return ct
