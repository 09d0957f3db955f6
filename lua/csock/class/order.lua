--- order: the order in which a class and its bases answer.
-- Not here: what they answer, which is flatten's.
-- Invariant: a class stands before its bases, and these as they were given.

local fail = require "csock.class.refusal".fail
local info = require "csock.class.model".info

local unpack = table.unpack

local function names(classes)
  local list = {}
  for i, cls in ipairs(classes) do list[i] = info[cls].name end
  return table.concat(list, ", ")
end

--- The first class at the head of a list that stands further behind in none.
local function candidate(lists)
  local behind = {}
  for _, list in ipairs(lists) do
    for i = 2, #list do behind[list[i]] = true end
  end
  for _, list in ipairs(lists) do
    if list[1] and not behind[list[1]] then return list[1] end
  end
end

--- C3: the order in which a class and its bases answer.
local function linearize(cls, name, bases)
  local order, lists = {cls}, {}
  for i, base in ipairs(bases) do lists[i] = {unpack(info[base].mro)} end
  lists[#lists + 1] = {unpack(bases)}
  while true do
    local chosen, left = candidate(lists), {}
    for _, list in ipairs(lists) do
      if not left[list[1] or cls] and list[1] then
        left[list[1]], left[#left + 1] = true, list[1]
      end
      if chosen and list[1] == chosen then table.remove(list, 1) end
    end
    if not chosen and left[1] then
      fail("class '%s': no order suits its bases %s (they disagree about %s)",
           name, names(bases), names(left))
    elseif not chosen then
      return order
    end
    order[#order + 1] = chosen
  end
end

return linearize
