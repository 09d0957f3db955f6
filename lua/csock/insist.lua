--- insist: raises what csock.safe's operations return: where nobody sees a
-- result, and in code that works with sockets of either kind.

--- insist(f(...)) -> what f has returned; but nil and an error are raised.
return function(...)
  local ok, err = ...
  if not ok and err ~= nil then error(err, 0) end
  return ...
end
