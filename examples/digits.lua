-- Trains a softmax regression on handwritten digits and tracks it. This folder has the same program in every language.
-- After `make install PREFIX=/usr/local` and ldconfig, with any of lua5.1, lua5.2, lua5.3, lua5.4 and luajit:
--   lua5.4 digits.lua digits.csv
-- From another PREFIX, for Lua 5.4 (LuaJIT takes the paths of 5.1):
--   export LUA_PATH="PREFIX/share/lua/5.4/?.lua;;" LUA_CPATH="PREFIX/lib/lua/5.4/?.so;;" LD_LIBRARY_PATH=PREFIX/lib

local carbontracker = require "carbontracker"

local EPOCHS, BATCH, PIXELS, CLASSES, MOST = 10, 32, 64, 10, 2000
local RATE = 0.5

local images, digits = {}, {} -- the last value of an image is 1, for the bias
local weights, gradient = {}, {}
for c = 1, CLASSES do
  weights[c], gradient[c] = {}, {}
  for i = 1, PIXELS + 1 do weights[c][i] = 0 end
end

-- A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment.
local function read_images(path)
  local file = path and io.open(path)
  if not file then return 0 end
  for line in file:lines() do
    if #images == MOST then break end
    if line:sub(1, 1) ~= "#" then
      local image = {}
      for i = 1, PIXELS do image[i] = tonumber(line:sub(i, i), 17) / 16 end
      image[PIXELS + 1] = 1
      images[#images + 1] = image
      digits[#digits + 1] = tonumber(line:sub(PIXELS + 2, PIXELS + 2)) + 1
    end
  end
  file:close()
  return #images
end

-- Puts the probability of each class in a table; returns the most probable class.
local function predict(image, probability)
  local sum, best = 0, 1
  for c = 1, CLASSES do
    local score, weight = 0, weights[c]
    for i = 1, PIXELS + 1 do score = score + weight[i] * image[i] end
    probability[c] = math.exp(score)
    sum = sum + probability[c]
    if probability[c] > probability[best] then best = c end
  end
  for c = 1, CLASSES do probability[c] = probability[c] / sum end
  return best
end

-- Makes one step of gradient descent on the images first to last; returns the sum of their losses.
local function step(first, last)
  local loss, probability = 0, {}
  for c = 1, CLASSES do
    for i = 1, PIXELS + 1 do gradient[c][i] = 0 end
  end
  for n = first, last do
    local image = images[n]
    predict(image, probability)
    loss = loss - math.log(probability[digits[n]])
    for c = 1, CLASSES do
      local slope, error = gradient[c], probability[c] - (c == digits[n] and 1 or 0)
      for i = 1, PIXELS + 1 do slope[i] = slope[i] + error * image[i] end
    end
  end
  for c = 1, CLASSES do
    local weight, slope = weights[c], gradient[c]
    for i = 1, PIXELS + 1 do weight[i] = weight[i] - RATE * slope[i] / (last - first + 1) end
  end
  return loss
end

local function accuracy(first, last)
  local probability, right = {}, 0
  for n = first, last do
    if predict(images[n], probability) == digits[n] then right = right + 1 end
  end
  return 100 * right / (last - first + 1)
end

local function print_value(tracker, label, pointer, unit)
  local value = tracker:value(pointer)
  io.write(value and ("%s %.3f %s"):format(label, value, unit) or label .. " unknown")
end

local count = read_images(arg[1])
local tests = math.floor(count / 5) -- the first fifth is the test set
if count == 0 then
  io.stderr:write("usage: ", arg[0], " digits.csv [OPTIONS]\n")
  os.exit(1)
end
local tracker, problem = carbontracker.try_new(arg[2] or { epochs = 10, name = "digits" })
if not tracker then
  io.stderr:write("not tracked: ", problem, "\n")
  tracker = carbontracker.disabled()
end

for epoch = 1, EPOCHS do
  local loss = 0
  tracker:epoch(function()
    for first = tests + 1, count, BATCH do
      local last = math.min(first + BATCH - 1, count)
      loss = loss + step(first, last)
      tracker:progress(last - tests, count - tests)
    end
  end)
  print(("epoch %2d  loss %.4f  accuracy %.1f %%"):format(epoch, loss / (count - tests), accuracy(1, tests)))
  if epoch == 3 then
    print_value(tracker, "forecast: energy", "/forecast/energy_j/value", "J")
    print_value(tracker, ", time", "/forecast/duration_s/value", "s")
    print()
  end
end
for message in tracker:messages() do print("carbontracker: " .. message) end
io.write(tracker:report())
tracker:close()
