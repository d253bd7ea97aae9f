-- Turns the options of Lua into the `key=value` text of the library. Only the library knows which options exist.

-- The shortest text that reads back as the same number. It has a decimal point "." in every locale.
local function number_text(number)
  if math.type and math.type(number) == "integer" then return ("%d"):format(number) end
  if number % 1 == 0 and math.abs(number) < 2 ^ 53 then return ("%.0f"):format(number) end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(number)
    if digits == 17 or tonumber(text) == number then return (text:gsub("[^0-9a-z+-]+", ".")) end
  end
end

-- Returns the text of a string or number; nil and the type for any other value.
local function word(value)
  local kind = type(value)
  if kind == "number" then return number_text(value) end
  return kind == "string" and value or nil, kind
end

local function value_text(value)
  if type(value) ~= "table" then return word(value) end
  local items = {}
  for i, item in ipairs(value) do
    local text, kind = word(item)
    if not text then return nil, "list with a " .. kind end
    items[i] = text
  end
  return table.concat(items, ",")
end

-- The options are sorted by name, so that the same table always gives the same error.
local function table_text(options)
  local names, words = {}, {}
  for name in pairs(options) do
    if type(name) ~= "string" or not name:find "^[%w_]+$" then
      return nil, ("options: '%s' is no option's name"):format(tostring(name))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local text, kind = value_text(options[name])
    if not text then return nil, ("%s: expected a string, a number or a list, not a %s"):format(name, kind) end
    words[i] = name .. "='" .. text:gsub("[\\']", "\\%0") .. "'"
  end
  return table.concat(words, " ")
end

-- Returns the text; nil if there are no options; nil and the reason if they are invalid.
return function(options)
  local kind = type(options)
  if kind == "nil" then return nil end
  if kind ~= "table" and kind ~= "string" then return nil, "options: expected a table or a string, not a " .. kind end
  local text, problem = options, nil
  if kind == "table" then text, problem = table_text(options) end
  if text and text:find("\0", 1, true) then return nil, "options: a NUL byte" end
  return text, problem
end
