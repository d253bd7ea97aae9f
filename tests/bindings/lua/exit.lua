-- Ends in the requested way, while epochs are open.
local check = require "check"
local ct = require "carbontracker"

kept, closed = ct.new(check.STEADY), ct.new(check.STEADY)
kept:epoch_begin()
closed:epoch_begin()
closed:close()
routine = coroutine.wrap(function() for e in ct.new(check.STEADY):epochs(2) do coroutine.yield(e) end end)
routine()

local ways = {}
ways["return"] = function() end
function ways.exit() os.exit(7) end
function ways.close() os.exit(7, true) end
function ways.error() error "lost" end
function ways.epoch() ct.new(check.STEADY):epoch(function() error "lost" end) end
function ways.loop() for _ in ct.new(check.STEADY):epochs(2) do error "lost" end end

-- Finalizers, made before and after the trackers, still use them. The trackers may be finalized before.
function ways.finalizer()
  local function use()
    for _, t in ipairs { kept, later } do
      t:report()
      t:epoch(function() end)
      t:close()
    end
    kept, later = nil, nil
    print "finalized"
  end
  if jit then data = require "ffi".gc(require "ffi".new "int[1]", use) end
  if newproxy then
    proxy = newproxy(true)
    getmetatable(proxy).__gc = use
  else
    proxy = setmetatable({}, { __gc = use })
  end
  kept:epoch_end()
  later = ct.new(check.STEADY)
end

ways[arg[1]]()
