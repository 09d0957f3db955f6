--- names: those in two underscores that mean something, in sets that tell what
-- they have in common.
-- Not here: what each of them means, which is told where it is obeyed.
-- Invariant: a name is in the same sets for as long as the program runs.

-- Lua's metamethods that a class may define like any method.
local EVENTS = {
  "__add", "__sub", "__mul", "__div", "__mod", "__pow", "__unm", "__idiv",
  "__band", "__bor", "__bxor", "__shl", "__shr", "__bnot", "__concat",
  "__len", "__eq", "__lt", "__le", "__call", "__tostring", "__pairs",
  "__gc", "__close", "__mode", "__metatable",
}

-- Members at whose change the metatables are written anew.
local HOOKS = {
  __init = true, __new = true, __name = true,
  __getitem = true, __setitem = true, __delitem = true,
}
for _, event in ipairs(EVENTS) do HOOKS[event] = true end

-- Names in two underscores that are not private.
local SPECIAL = {
  __str = true, __iter = true, __del = true, __doc = true, __module = true,
  __class = true, __dict = true, __bases = true, __mro = true,
  __slots = true, __metaclass = true, __native = true,
  __index = true, __newindex = true,
}
for name in pairs(HOOKS) do SPECIAL[name] = true end

-- Members that a sub-class does not inherit, and those only a body may give.
local OWN = {__doc = true, __module = true, __name = true, __slots = true}
local BODY = {__slots = true, __metaclass = true, __native = true}

return {
  EVENTS = EVENTS, HOOKS = HOOKS, SPECIAL = SPECIAL, OWN = OWN, BODY = BODY,
}
