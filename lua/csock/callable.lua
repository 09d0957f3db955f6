--- callable: whether a value can be called.

--- callable(value) -> boolean
return function(value)
  if type(value) == "function" then return true end
  local meta = debug.getmetatable(value)
  return type(meta) == "table" and meta.__call ~= nil
end
