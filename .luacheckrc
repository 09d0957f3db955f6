-- What luacheck knows of this code: Lua 5.4, no globals, 80 columns.
std = "lua54"
max_line_length = 80
ignore = {
  "211/_.+",    -- `local _guard <close>`: there only to be closed
  "212/self",   -- a hook that does nothing by default is still a method
}
include_files = {
  "lua/**/*.lua", "spec/**/*.lua", "examples/**/*.lua", "bench/**/*.lua",
  "rockspec/*", ".busted", ".luacheckrc",
  ".ci/busted", ".ci/docs", ".ci/limits", ".ci/score", ".ci/types",
}
files["spec"].std = "+busted"
-- declarations: a line each, however long, of things that are not used here
files["lua/csock/types.lua"] = {
  max_line_length = false, ignore = {"212", "241", "431"},
}
