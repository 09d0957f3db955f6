-- The client of server.lua: sends its words, prints the answer.
--   lua client.lua [-p port] word...     (9999)
local csock = require "csock"

local port = 9999
if arg[1] == "-p" then port = tonumber(arg[2]) end
local words = table.concat(arg, " ", arg[1] == "-p" and 3 or 1)

local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_STREAM)
sock.timeout = 5                        -- same as sock:settimeout(5)
sock:connect{"localhost", port}
sock:sendall(words .. "\n")
print("Sent:     " .. words)
print("Received: " .. sock:recv(1024))
