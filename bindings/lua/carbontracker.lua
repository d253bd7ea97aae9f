--- Measures, forecasts and prices the energy of a training loop.
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
-- *Errors.* Every function raises, at the line that called it, what the library refuses: an unknown option, a second
-- begin, a closed tracker. `try_new` returns nil and the reason instead. An error inside an epoch cancels the epoch and
-- goes on to the caller as it is. Calls that succeed return a status: "ok"; "disabled", by CARBONTRACKER_DISABLE=1 or
-- `disabled`; or "over_budget", from the end of an epoch.
--
-- *Units* are in the names of the report's numbers: _s seconds, _j joules, _kwh, _w watts, _g grams of CO2e.
--
-- *Threads.* Nothing is shared between Lua states and the library calls nothing back. Coroutines may share a tracker.
-- In a forked child a parent's tracker raises an error; create one there.
--
-- Works on LuaJIT (through its FFI) and on Lua 5.1 to 5.4 (through the C module carbontracker.core).
-- CARBONTRACKER_LUA_BACKEND, `ffi` or `c`, forces the one or the other.
-- @module carbontracker

local MODULES = { ffi = "carbontracker.ffi", c = "carbontracker.core" }

local CURE = [[

It needs libcarbontracker.so.0 where the loader looks: run ldconfig after an installation, or set LD_LIBRARY_PATH to its
folder (for LuaJIT also CARBONTRACKER_LIB to the file). Lua 5.1 to 5.4 need the C module too, carbontracker/core.so on
LUA_CPATH: `make install` builds it for each Lua whose headers are there, luarocks for the one it serves.]]

-- The backend that loads, and its name.
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

-- Whether `for` closes its fourth value, as Lua 5.4 does; else a loop that is left early says nothing.
local loops_close = false
local probe = setmetatable({}, { __close = function() loops_close = true end })
for _ in function() end, nil, nil, probe do end

--- A tracked run. Close it when it is done, or declare it `<close>` (Lua 5.4); the collector releases a forgotten one.
-- @type Tracker
local Tracker = {}
Tracker.__index = Tracker

--- One epoch, from `Tracker:scope`.
-- @type Epoch
local Epoch = {}
Epoch.__index = Epoch

-- A `level` is error()'s, as seen from the function that passes it on: 2 is the caller of that.
local function fail(level)
  error("carbontracker: " .. backend.last_error(), level + 1)
end

local function live(tracker, level)
  return tracker.handle or error("carbontracker: the tracker is closed", level + 1)
end

local function cancel(tracker)
  tracker.current = nil
  return backend.epoch_cancel(tracker.handle)
end

-- `current` is whose epoch is open: an Epoch, or nil for one begun by hand.
local function begin(tracker, epoch, level)
  local handle = live(tracker, level + 1)
  local status = backend.epoch_begin(handle)
  local left = tracker.current
  if status == ESTATE and left and left.loose then
    -- That epoch was left open, or this one begins inside it: the library has counted the call, and a message reports it.
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

--- Begins an epoch: stamps the clock and returns.
-- @treturn string "ok" or "disabled"
-- @raise an epoch is open already
function Tracker:epoch_begin()
  local status = begin(self, nil, 2)
  return status
end

--- Ends the epoch begun last: stamps the clock and returns.
-- @treturn string "ok", "disabled", or "over_budget": the run's forecast passes `budget_kwh`, `budget_g` or `budget_h`.
-- It is judged on epochs whose readings are in, so it may come one epoch late.
-- @raise no epoch is open
function Tracker:epoch_end()
  local status = finish(self, 2)
  return status
end

--- Drops the open epoch, as after an error: it is not counted and does not colour the forecast.
-- @treturn string "ok" or "disabled"
-- @raise no epoch is open
function Tracker:epoch_cancel()
  live(self, 2)
  local status = cancel(self)
  if status < 0 then fail(2) end
  return STATUS[status]
end

--- Whether the epoch that ended last said "over_budget"; for loops by `epochs` and hooks.
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

--- Drops the epoch, if it is still open. Never raises: it may be called while an error is under way.
function Epoch:cancel()
  if self.tracker.current == self then cancel(self.tracker) end
end

function Epoch:__close(problem)
  if problem ~= nil or self.is_whole == false then self:cancel() else self:close() end
end

--- Begins an epoch that ends where a variable does, and is cancelled if an error ends it (Lua 5.4):
--
--    local epoch <close> = t:scope()
--
-- Elsewhere call its `close` or `cancel`.
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

--- Calls `f(...)` as one epoch. If it raises, the epoch is cancelled and the same error goes on: under Lua 5.4 with its
-- whole traceback, elsewhere the traceback ends here. Under Lua 5.1, though not LuaJIT, `f` cannot yield.
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
-- @raise an epoch is open already
function Tracker:epoch(f, ...)
  if f == nil then error("carbontracker: epoch() takes a function; it got nil", 2) end
  local epoch = new_epoch(self, false)
  begin(self, epoch, 2)
  if loops_close then
    epoch.is_whole = false -- until f has returned: it may raise nil, or be a coroutine that is closed
    for _ in once, nil, nil, epoch do return whole(epoch, f(...)) end
  end
  return returned(epoch, pcall(f, ...))
end

--- Iterates over n epochs, each of which ends where the next begins:
--
--    for epoch in t:epochs(10) do train(epoch) end
--
-- An error in the loop's body cancels its epoch (but one that is nil, which 5.4 cannot tell from none). `break` ends it: at once under Lua 5.4. Elsewhere a loop cannot know
-- that it is left; there call `t:epoch_end()` before `break`, which does no harm under 5.4. An epoch left open all the
-- same, by `break` or an error, is cancelled by the next begin, and a message reports it. So is one in which another
-- begins; 5.4 raises an error there.
-- @tparam number n how many
-- @return an iterator over 1 to n
-- @raise an epoch is open already
function Tracker:epochs(n)
  if type(n) ~= "number" then error("carbontracker: epochs() takes the number of epochs", 2) end
  local epoch = new_epoch(self, not loops_close)
  local count = 0
  local function step()
    if self.current == epoch then finish(self, 2) end
    if not (count < n) then return nil end
    begin(self, epoch, 2)
    count = count + 1
    return count
  end
  return step, nil, nil, epoch
end

-- Up to 2^53 a Lua number is a whole count.
local function is_count(number)
  return number and number >= 0 and number <= 9007199254740992
end

--- Says how far the open epoch is; as often as you like. In the first epoch it lets the forecast start.
-- @tparam number done batches or time steps since its begin
-- @tparam number total of so many
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

--- One number of the JSON report, by its JSON Pointer: "/usage/energy_j", "/forecast/energy_j/high",
-- "/epochs/3/duration_s" (counted from 0). May wait up to 1 s for the reading that closes the last epoch.
-- @tparam string pointer
-- @treturn ?number nil if there is none or it is unknown
function Tracker:value(pointer)
  local handle = live(self, 2)
  if type(pointer) ~= "string" or pointer:find("%z") then error('carbontracker: value() takes a pointer such as "/usage/energy_j"', 2) end
  local value, status = backend.value(handle, pointer)
  if not value and status ~= ENOENT and status ~= DISABLED then fail(2) end
  return value
end

--- The report. May wait up to 1 s for the reading that closes the last epoch.
-- @tparam[opt="text"] string format "text", "json", "csv" (a row an epoch), "prometheus" or "html"
-- @treturn string empty if the tracker is disabled
-- @raise no such format
function Tracker:report(format)
  local handle = live(self, 2)
  if format == nil then format = "text" end
  if type(format) ~= "string" or format:find("%z") then error('carbontracker: report() takes a format such as "json"', 2) end
  local text, status = backend.report(handle, format)
  if not text and status ~= DISABLED then fail(2) end
  return text or ""
end

--- Takes the oldest message: a warning, the forecast after an epoch, a budget passed.
-- @treturn ?string nil if there is none
function Tracker:message()
  local text, status = backend.message(live(self, 2))
  if not text and status ~= ENOENT and status ~= DISABLED then fail(2) end
  return text
end

--- Iterates over the messages there are, taking each: `for message in t:messages() do print(message) end`.
function Tracker:messages()
  return Tracker.message, self
end

--- Ends the tracker: a last reading, the sampler stopped, within 250 ms. Again, it does nothing; any other call raises.
function Tracker:close()
  local handle = self.handle
  if handle then
    self.handle, self.current = false, nil
    backend.destroy(handle)
  end
end

Tracker.__close = Tracker.close

--- The report's first line, which says how far the run is.
function Tracker:__tostring()
  if not self.handle then return "carbontracker: closed" end
  local text, status = backend.report(self.handle, "text")
  if not text then return "carbontracker: " .. STATUS[status] end
  return "carbontracker: " .. text:match "^[^\n]*"
end

--- @section end

local ct = { backend = backend_name }

--- Makes a tracker, or says why it cannot.
-- @param[opt] options as `new` takes them
-- @treturn ?Tracker
-- @treturn ?string if nil, the reason
-- @treturn ?string and the status: "einval" for options, "eio" where no thread could be started
-- @usage
-- local t, why = ct.try_new { epochs = 10 }
-- if not t then
--   io.stderr:write("not tracked: ", why, "\n")
--   t = ct.disabled()
-- end
function ct.try_new(options)
  local text, problem = options_text(options)
  if problem then return nil, problem, "einval" end
  local handle, status = backend.create(text)
  if not handle then return nil, backend.last_error(), STATUS[status] end
  return setmetatable({ handle = handle, over = false }, Tracker)
end

--- Makes a tracker and starts its sampler. Finding no device to measure is no failure: energies are nil then, and a
-- message says what would help.
-- @param[opt] options a table by name, `{ epochs = 10, location = "DK", components = { "cpu", "gpu" } }`, or a string
-- "epochs=10 location=DK". The library's README lists them; each is also an environment variable, CARBONTRACKER_EPOCHS
-- and so on, over which these win
-- @treturn Tracker a disabled one under CARBONTRACKER_DISABLE=1
-- @raise an option is unknown or its value is bad; no thread could be started
function ct.new(options)
  local tracker, problem = ct.try_new(options)
  return tracker or error("carbontracker: " .. problem, 2)
end

--- A tracker that does nothing, to go on without one.
-- @treturn Tracker
function ct.disabled()
  return setmetatable({ handle = backend.disabled(), over = false }, Tracker)
end

--- The library's version, as "0.1.0".
-- @treturn string
function ct.version()
  return backend.version()
end

-- How many batches an epoch of torchnet has, where its iterator tells; a parallel one tells for each thread.
local function batches(state)
  local ok, size = pcall(function() return state.iterator:exec "size" end)
  if ok and type(size) == "table" then size = size[1] end
  return ok and tonumber(size) or nil
end

--- Tracks the epochs of a torchnet engine: from after its onStartEpoch to before its onEndEpoch, so that what that does
-- (a test, a checkpoint) counts as between epochs; onUpdate tells the progress. Hooks that are there stay and are
-- called as before; set your own before this. An epoch that an error left open is cancelled by the next begin.
-- @param engine a tnt.SGDEngine, tnt.OptimEngine or alike
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
    total = done -- what the iterator told may be before it filters
    return on_end(state)
  end
end

return ct
