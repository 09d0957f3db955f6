---@meta _
error "lua/csock/types.lua is for editors and not to be required"

-- types: what lua-language-server is told of csock's public names; a class that
-- is called makes an instance, whose type it has as well.
-- Not here: anything that runs.  The modules name these types where they
-- return, and spec/types_spec.lua compares the two, both ways.
-- A new function or method is a block like its neighbours, a new property or
-- class a @field; @raise says that the world may refuse the call.  `make types`
-- writes the last two parts from constants.list and from the rest of this file.

-- Values ----------------------------------------------------------------------

--- What csock returns as an address; an AF_UNIX address is a string.
---@class csock.address
---@field host string The host, in numbers.
---@field port integer The port.
---@field family integer Its family: AF_INET, AF_INET6, AF_PACKET, ...
---@field flowinfo? integer Of AF_INET6: the flow label.
---@field scope_id? integer Of AF_INET6: the number of the interface.
---@field ifname? string Of AF_PACKET: the interface.
---@field proto? integer Of AF_PACKET: the protocol of the frame.
---@field pkttype? integer Of AF_PACKET: PACKET_HOST, PACKET_OTHERHOST, ...
---@field hatype? integer Of AF_PACKET: the kind of the hardware.
---@field addr? string|integer Of AF_PACKET: the hardware's; of CAN_J1939.
---@field pid? integer Of AF_NETLINK: whose socket, 0 for the kernel's.
---@field groups? integer Of AF_NETLINK: a bit for each group.
---@field cid? integer Of AF_VSOCK: the machine.
---@field node? integer Of AF_QIPCRTR: the node.
---@field interface? string Of AF_CAN: the interface.
---@field rx? integer Of CAN_ISOTP: the identifier it receives.
---@field tx? integer Of CAN_ISOTP: the identifier it sends.
---@field name? string|integer Of AF_ALG: the algorithm; of CAN_J1939.
---@field pgn? integer Of CAN_J1939: the parameter group.
---@field addr_type? integer Of AF_TIPC: TIPC_ADDR_NAME, ...
---@field v1? integer Of AF_TIPC: the first value.
---@field v2? integer Of AF_TIPC: the second value.
---@field v3? integer Of AF_TIPC: the third value.
---@field scope? integer Of AF_TIPC: TIPC_CLUSTER_SCOPE, ...
---@field type? string Of AF_ALG: "hash", "skcipher", ...
---@field feat? integer Of AF_ALG: features.
---@field mask? integer Of AF_ALG: which features count.
---@field bytes? string Of any other family: what follows its number.
---@field [integer] string|integer The items in their order.
---@operator len: integer

--- What csock takes as an address.
---@alias csock.Address csock.address|string|(string|integer)[]

--- A list of ancillary items: level, type and data of each.
---@alias csock.ancillary {[1]: integer, [2]: integer, [3]: string}[]

--- Bytes: of a string, or of a buffer.
---@alias csock.data string|csock.buffer

--- Writable memory of a fixed size; two are equal by content.
---@class csock.buffer
---@field [integer] integer A byte, counted from 1 or back from -1.
---@operator len: integer
local buffer = {}

--- Sets bytes i to j (all) to one value (0).
---@param byte? integer
---@param i? integer
---@param j? integer
---@return csock.buffer self
function buffer:fill(byte, i, j) end

--- The first place, at `init` or behind, that holds these bytes; or nil.
---@param data csock.data
---@param init? integer
---@return integer? first
---@return integer? last
function buffer:find(data, init) end

--- Copies data to where byte i begins; it has to fit.
---@param i integer
---@param data csock.data
---@return csock.buffer self
function buffer:set(i, data) end

--- Bytes i to j as a string.
---@param i? integer
---@param j? integer
---@return string data
function buffer:string(i, j) end

--- Bytes i to j as a string, as string.sub.
---@param i integer
---@param j? integer
---@return string data
function buffer:sub(i, j) end

--- A buffer in the same memory, from byte i to j.
---@param i? integer
---@param j? integer
---@return csock.buffer view
function buffer:view(i, j) end

-- Sockets ---------------------------------------------------------------------

--- A socket: socket([family [, type [, proto [, fileno]]]]).
---@class csock.socket : csock.class.object
---@overload fun(family?: integer, type?: integer, proto?: integer, fileno?: integer): csock.socket
---@field timeout? number Seconds an operation may wait; nil is for ever.
---@field blocking boolean Whether operations wait: timeout nil is true, 0 is false.
---@field inheritable boolean Whether programs that are executed get the descriptor.
---@field family integer AF_...; read-only.
---@field type integer SOCK_...; read-only.
---@field proto integer The protocol's number; read-only.
---@field closed boolean Whether it is closed; read-only.
---@field acceptconn boolean SO_ACCEPTCONN: whether it listens; read-only.
---@field bindtodevice string SO_BINDTODEVICE: the name of an interface.
---@field broadcast boolean SO_BROADCAST: datagrams to broadcast addresses.
---@field busy_poll integer SO_BUSY_POLL: microseconds to poll the device.
---@field congestion string TCP_CONGESTION: the algorithm's name.
---@field cork boolean TCP_CORK: hold back segments that are not full.
---@field defer_accept integer TCP_DEFER_ACCEPT: seconds to wait for data first.
---@field dontroute boolean SO_DONTROUTE: to hosts of this network only.
---@field error integer SO_ERROR: the pending errno, cleared; read-only.
---@field fastopen integer TCP_FASTOPEN: how many may queue.
---@field freebind boolean IP_FREEBIND: bind to an address that is not there.
---@field gro boolean UDP_GRO: datagrams of one sender arrive together.
---@field incoming_cpu integer SO_INCOMING_CPU: a processor's number.
---@field ipv6only boolean IPV6_V6ONLY: no IPv4 by mapped addresses.
---@field keepalive boolean SO_KEEPALIVE: probe an idle peer.
---@field keepcnt integer TCP_KEEPCNT: how many probes.
---@field keepidle integer TCP_KEEPIDLE: seconds before the first probe.
---@field keepintvl integer TCP_KEEPINTVL: seconds between probes.
---@field linger integer|false SO_LINGER: seconds that close may wait to send.
---@field mark integer SO_MARK: of packets, for routing.
---@field maxseg integer TCP_MAXSEG: bytes in a segment.
---@field multicast_loop boolean IP(V6)_MULTICAST_LOOP: hear one's own.
---@field multicast_ttl integer IP_MULTICAST_TTL or IPV6_MULTICAST_HOPS.
---@field nodelay boolean TCP_NODELAY: send small segments at once.
---@field oobinline boolean SO_OOBINLINE: urgent data among the rest.
---@field passcred boolean SO_PASSCRED: messages tell who sent them.
---@field peercred? {pid: integer, uid: integer, gid: integer} SO_PEERCRED: the process at the other end of AF_UNIX; read-only.
---@field priority integer SO_PRIORITY: of packets, for queues.
---@field quickack boolean TCP_QUICKACK: acknowledge at once.
---@field rcvbuf integer SO_RCVBUF: bytes to hold for receiving.
---@field rcvlowat integer SO_RCVLOWAT: bytes that make it readable.
---@field reuseaddr boolean SO_REUSEADDR: bind to an address left a moment ago.
---@field reuseport boolean SO_REUSEPORT: several sockets on one address.
---@field segment integer UDP_SEGMENT: bytes of each datagram that a long one becomes; 0: none.
---@field sndbuf integer SO_SNDBUF: bytes to hold for sending.
---@field syncnt integer TCP_SYNCNT: how many attempts to connect.
---@field tos integer IP_TOS or IPV6_TCLASS.
---@field transparent boolean IP(V6)_TRANSPARENT: use addresses of others.
---@field ttl integer IP_TTL or IPV6_UNICAST_HOPS.
---@field user_timeout integer TCP_USER_TIMEOUT: milliseconds to wait for an answer.
local socket = {}

--- Waits for a connection.
---@return csock.socket conn
---@return csock.address|string|nil address
---@raise csock.OSError
function socket:accept() end

--- Gives it an address.
---@param address csock.Address
---@return true
---@raise csock.OSError
function socket:bind(address) end

--- Closes it; whoever waits for it gets EBADF.
---@return true
---@raise csock.OSError
function socket:close() end

--- Connects it to an address; waits as long as its timeout says.
---@param address csock.Address
---@return true
---@raise csock.OSError
function socket:connect(address) end

--- As connect, but returns the errno that connect would raise, 0 for none.
---@param address csock.Address
---@return integer errno
---@raise csock.gaierror
function socket:connect_ex(address) end

--- Closes it without closing the descriptor, which is the caller's then.
---@return integer fd -1 if it was closed
function socket:detach() end

--- Another socket of its class for the same open file.
---@return csock.socket sock
---@raise csock.OSError
function socket:dup() end

--- Its descriptor, -1 when closed.
---@return integer fd
function socket:fileno() end

--- Whether programs that are executed get the descriptor.
---@return boolean inheritable
---@raise csock.OSError
function socket:get_inheritable() end

--- Whether its timeout is not 0.
---@return boolean blocking
function socket:getblocking() end

--- The address of the peer.
---@return csock.address|string address
---@raise csock.OSError
function socket:getpeername() end

--- Its own address.
---@return csock.address|string address
---@raise csock.OSError
function socket:getsockname() end

--- An option's value: an integer, or with a length that many bytes.
---@param level integer
---@param option integer
---@param length? integer
---@return integer|string value
---@raise csock.OSError
function socket:getsockopt(level, option, length) end

--- Seconds that an operation may wait; nil is for ever.
---@return number? seconds
function socket:gettimeout() end

--- Lets it take connections, `backlog` of them (SOMAXCONN) in the queue.
---@param backlog? integer
---@return true
---@raise csock.OSError
function socket:listen(backlog) end

--- A file over it, which keeps it open: mode of r, w and b; buffering in bytes.
---@param mode? string
---@param buffering? integer
---@return csock.file file
---@raise csock.OSError
function socket:makefile(mode, buffering) end

--- Up to `bufsize` bytes; "" is the end of a stream.
---@param bufsize integer
---@param flags? integer
---@return string data
---@raise csock.OSError
function socket:recv(bufsize, flags) end

--- Receives into a buffer, `nbytes` at most (0: all of it).
---@param buffer csock.buffer
---@param nbytes? integer
---@param flags? integer
---@return integer nbytes
---@raise csock.OSError
function socket:recv_into(buffer, nbytes, flags) end

--- Up to `bufsize` bytes, and who sent them.
---@param bufsize integer
---@param flags? integer
---@return string data
---@return csock.address|string|nil address
---@raise csock.OSError
function socket:recvfrom(bufsize, flags) end

--- Receives into a buffer, and tells who sent it.
---@param buffer csock.buffer
---@param nbytes? integer
---@param flags? integer
---@return integer nbytes
---@return csock.address|string|nil address
---@raise csock.OSError
function socket:recvfrom_into(buffer, nbytes, flags) end

--- A message, with room for `ancbufsize` bytes of ancillary data.
---@param bufsize integer
---@param ancbufsize? integer
---@param flags? integer
---@return string data
---@return csock.ancillary ancdata
---@return integer msg_flags
---@return csock.address|string|nil address
---@raise csock.OSError
function socket:recvmsg(bufsize, ancbufsize, flags) end

--- A message into several buffers, filled one after the other.
---@param buffers csock.buffer[]
---@param ancbufsize? integer
---@param flags? integer
---@return integer nbytes
---@return csock.ancillary ancdata
---@return integer msg_flags
---@return csock.address|string|nil address
---@raise csock.OSError
function socket:recvmsg_into(buffers, ancbufsize, flags) end

--- Sends what the system takes at once.
---@param data csock.data
---@param flags? integer
---@return integer nbytes
---@raise csock.OSError
function socket:send(data, flags) end

--- Sends all; the timeout is for the whole.
---@param data csock.data
---@param flags? integer
---@return true
---@raise csock.OSError
function socket:sendall(data, flags) end

--- Sends a file from `offset` (0) to its end, or `count` bytes of it.
---@param file file*|{read: function}
---@param offset? integer
---@param count? integer
---@return integer nbytes
---@raise csock.OSError
function socket:sendfile(file, offset, count) end

--- Sends several pieces as one message, with ancillary data.
---@param buffers csock.data[]
---@param ancdata? csock.ancillary
---@param flags? integer
---@param address? csock.Address
---@return integer nbytes
---@raise csock.OSError
function socket:sendmsg(buffers, ancdata, flags, address) end

--- Sends to the kernel's cryptography (AF_ALG).
---@param buffers? csock.data[]
---@param op integer
---@param iv? csock.data
---@param assoclen? integer
---@param flags? integer
---@return integer nbytes
---@raise csock.OSError
function socket:sendmsg_afalg(buffers, op, iv, assoclen, flags) end

--- Sends to an address: sendto(data, address) or sendto(data, flags, address).
---@param data csock.data
---@param flags integer
---@param address csock.Address
---@return integer nbytes
---@overload fun(self, data: csock.data, address: csock.Address): integer
---@raise csock.OSError
function socket:sendto(data, flags, address) end

--- Lets programs that are executed get the descriptor, or not.
---@param inheritable boolean
---@return true
---@raise csock.OSError
function socket:set_inheritable(inheritable) end

--- Makes operations wait for ever, or not at all.
---@param flag boolean
---@return true
---@raise csock.OSError
function socket:setblocking(flag) end

--- Sets an option; nil as value takes the length that the option wants.
---@param level integer
---@param option integer
---@param value integer|boolean|csock.data|nil
---@param length? integer
---@return true
---@raise csock.OSError
function socket:setsockopt(level, option, value, length) end

--- Sets how many seconds an operation may wait; nil is for ever.
---@param seconds? number
---@return true
---@raise csock.OSError
function socket:settimeout(seconds) end

--- Ends reading, writing or both: SHUT_RD, SHUT_WR, SHUT_RDWR.
---@param how integer
---@return true
---@raise csock.OSError
function socket:shutdown(how) end

--- A file over a socket: file(sock [, mode [, buffering]]).
---@class csock.file : csock.class.object
---@overload fun(sock: csock.socket, mode?: string, buffering?: integer): csock.file
---@operator call: string?
---@field closed boolean Whether it is closed; read-only.
---@field maxline? integer Bytes of the longest line; nil is no limit.
---@field mode string The mode it was made with; read-only.
---@field name integer The socket's descriptor, -1 when closed; read-only.
---@field pending integer Bytes that have come and are not read; read-only.
local file = {}

--- Flushes and closes it.
---@return true
---@raise csock.OSError
function file:close() end

--- The socket's descriptor.
---@return integer fd
function file:fileno() end

--- Sends what was collected.
---@return true
---@raise csock.OSError
function file:flush() end

--- An iterator over read(format, ...), or over lines.
---@param ... string|integer
---@return fun(): any
function file:lines(...) end

--- What the next read begins with; it stays.
---@return string? data
---@raise csock.OSError
function file:peek() end

--- All to the end, a count of bytes, or Lua's formats.
---@param ... string|integer
---@return string|number|nil data
---@raise csock.OSError
function file:read(...) end

--- What is there, else what one receive call brings.
---@param size? integer
---@return string? data
---@raise csock.OSError
function file:read1(size) end

--- Whether it was opened for reading.
---@return boolean readable
function file:readable() end

--- Lines with the empty one that ends them, of `limit` bytes at most.
---@param limit? integer
---@return string? head
---@raise csock.OSError
function file:readhead(limit) end

--- Reads into a buffer.
---@param buffer csock.buffer
---@return integer? nbytes
---@raise csock.OSError
function file:readinto(buffer) end

--- The strings of what follows a format, or how many went into `list`.
---@param format string
---@param list? table
---@param most? integer
---@param longest? integer
---@return string|integer|false|nil ...
---@raise csock.OSError
function file:readrecord(format, list, most, longest) end

--- An iterator over readrecord(format, ...).
---@param format string
---@param list? table
---@param most? integer
---@param longest? integer
---@return fun(): any
function file:records(format, list, most, longest) end

--- A line with its newline, of `limit` bytes at most.
---@param limit? integer
---@return string? line
---@raise csock.OSError
function file:readline(limit) end

--- A list of lines, to the end or until `hint` bytes.
---@param hint? integer
---@return string[]? lines
---@raise csock.OSError
function file:readlines(hint) end

--- False.
---@return false
function file:seekable() end

--- Whether what has come begins with these strings, which are read then.
---@param data string
---@param ... string
---@return boolean taken
function file:take(data, ...) end

--- Makes reads that have to wait send what `other` has collected first.
---@param other? csock.file
---@return true
function file:tie(other) end

--- Whether it was opened for writing.
---@return boolean writable
function file:writable() end

--- Collects data for the socket, and tells how many bytes that is.
---@param ... csock.data|number
---@return integer? nbytes
---@raise csock.OSError
function file:write(...) end

--- Writes each of a list.
---@param lines (csock.data|number)[]
---@return true
---@raise csock.OSError
function file:writelines(lines) end

-- Errors ----------------------------------------------------------------------

--- What is raised when the fault is the world's.
---@class csock.Exception : csock.class.object
---@field where? string The position in the Lua source.
---@field op? string The operation that failed: "connect".
---@field strerror? string What the system says of it.
---@field code? string The name of the errno: "ECONNREFUSED".
---@field address? csock.Address The address, where there is one.

--- A system call failed: OSError(errno, strerror [, op [, address]]).
---@class csock.OSError : csock.Exception
---@overload fun(errno?: integer, strerror?: string, op?: string, address?: csock.Address): csock.OSError
---@field errno? integer The number.

---@class csock.BlockingIOError : csock.OSError
---@class csock.ChildProcessError : csock.OSError
---@class csock.ConnectionError : csock.OSError
---@class csock.BrokenPipeError : csock.ConnectionError
---@class csock.ConnectionAbortedError : csock.ConnectionError
---@class csock.ConnectionRefusedError : csock.ConnectionError
---@class csock.ConnectionResetError : csock.ConnectionError
---@class csock.FileExistsError : csock.OSError
---@class csock.FileNotFoundError : csock.OSError
---@class csock.InterruptedError : csock.OSError
---@class csock.IsADirectoryError : csock.OSError
---@class csock.NotADirectoryError : csock.OSError
---@class csock.PermissionError : csock.OSError
---@class csock.ProcessLookupError : csock.OSError
---@class csock.TimeoutError : csock.OSError
---@class csock.gaierror : csock.OSError
---@class csock.herror : csock.OSError
---@class csock.CancelledError : csock.Exception
---@class csock.QueueEmpty : csock.Exception
---@class csock.QueueFull : csock.Exception

--- Several errors at once: ExceptionGroup(message, exceptions).
---@class csock.ExceptionGroup : csock.Exception
---@overload fun(message: string, exceptions: csock.Exception[]): csock.ExceptionGroup
---@field message string What they have in common.
---@field exceptions csock.Exception[] The errors.

-- csock -----------------------------------------------------------------------

--- Python's socket module.
---@class csock : csock.constants
---@field socket csock.socket The class of sockets.
---@field SocketType csock.socket Python's other name for it.
---@field file csock.file The class of what makefile makes.
---@field SocketIO csock.file Python's name for it.
---@field class csock.class The module csock.class.
---@field coroutine csock.coroutine The module csock.coroutine.
---@field loop csock.loop The module csock.loop.
---@field safe csock.safe The module csock.safe.
---@field socketserver csock.socketserver The module csock.socketserver.
---@field systemd csock.systemd The module csock.systemd.
---@field has_ipv6 boolean Whether the system's headers know IPv6.
---@field Exception csock.Exception Base of all that csock raises.
---@field OSError csock.OSError A system call failed.
---@field error csock.OSError The same.
---@field timeout csock.TimeoutError Time is up.
---@field TimeoutError csock.TimeoutError The same: ETIMEDOUT.
---@field gaierror csock.gaierror getaddrinfo or getnameinfo failed.
---@field herror csock.herror A look-up by host address failed.
---@field BlockingIOError csock.BlockingIOError The operation would block: EAGAIN, EINPROGRESS.
---@field BrokenPipeError csock.BrokenPipeError Nobody reads what is written: EPIPE.
---@field CancelledError csock.CancelledError The task was cancelled.
---@field ChildProcessError csock.ChildProcessError There is no such child: ECHILD.
---@field ConnectionAbortedError csock.ConnectionAbortedError Aborted by the peer: ECONNABORTED.
---@field ConnectionError csock.ConnectionError Base of what a connection suffers.
---@field ConnectionRefusedError csock.ConnectionRefusedError Nobody listens there: ECONNREFUSED.
---@field ConnectionResetError csock.ConnectionResetError Reset by the peer: ECONNRESET.
---@field ExceptionGroup csock.ExceptionGroup Several errors at once.
---@field QueueEmpty csock.QueueEmpty There is no item to get at once.
---@field QueueFull csock.QueueFull There is no room to put an item at once.
---@field FileExistsError csock.FileExistsError The path exists: EEXIST.
---@field FileNotFoundError csock.FileNotFoundError There is no such path: ENOENT.
---@field InterruptedError csock.InterruptedError Interrupted by a signal: EINTR.
---@field IsADirectoryError csock.IsADirectoryError Not for directories: EISDIR.
---@field NotADirectoryError csock.NotADirectoryError Only for directories: ENOTDIR.
---@field PermissionError csock.PermissionError Not permitted: EACCES, EPERM.
---@field ProcessLookupError csock.ProcessLookupError There is no such process: ESRCH.
local csock = {}

--- Bytes of an ancillary item with `length` bytes of data.
---@param length integer
---@return integer size
function csock.CMSG_LEN(length) end

--- The same with the padding behind it.
---@param length integer
---@return integer size
function csock.CMSG_SPACE(length) end

--- Memory of a size, in zeros, or a copy of a string's or a buffer's bytes.
---@param what integer|csock.data
---@return csock.buffer buffer
function csock.buffer(what) end

--- Closes a descriptor.
---@param fd integer
---@return true
---@raise csock.OSError
function csock.close(fd) end

--- A connected TCP socket, to whichever of the host's addresses answers first.
---@param address csock.Address
---@param timeout? number|{timeout?: number|false, source_address?: csock.Address, all_errors?: boolean}
---@param source_address? csock.Address
---@param all_errors? boolean
---@return csock.socket sock
---@raise csock.Exception
function csock.create_connection(address, timeout, source_address, all_errors)
end

--- A listening TCP socket.
---@param address csock.Address
---@param options? {family?: integer, backlog?: integer, reuse_port?: boolean, dualstack_ipv6?: boolean}
---@return csock.socket sock
---@raise csock.OSError
function csock.create_server(address, options) end

--- Another descriptor of the same open file, close-on-exec.
---@param fd integer
---@return integer fd
---@raise csock.OSError
function csock.dup(fd) end

--- A socket with a copy of a descriptor; the system says what is left out.
---@param fd integer
---@param family? integer
---@param type? integer
---@param proto? integer
---@return csock.socket sock
---@raise csock.OSError
function csock.fromfd(fd, family, type, proto) end

--- The addresses of a host and a service: {family, type, proto, name, address}.
---@param host string|nil|{host?: string, port?: string|integer, family?: integer, type?: integer, proto?: integer, flags?: integer, timeout?: number}
---@param port? string|integer
---@param family? integer|table
---@param type? integer
---@param proto? integer
---@param flags? integer
---@param timeout? number
---@return {[1]: integer, [2]: integer, [3]: integer, [4]: string, [5]: csock.address}[] infos
---@raise csock.gaierror
function csock.getaddrinfo(host, port, family, type, proto, flags, timeout) end

--- The timeout of sockets to be made.
---@return number? seconds
function csock.getdefaulttimeout() end

--- The full name of a host, by default of this one.
---@param name? string
---@return string name
---@raise csock.TimeoutError
function csock.getfqdn(name) end

--- A host by its address: name, aliases, addresses.
---@param address string
---@return string name
---@return string[] aliases
---@return string[] addresses
---@raise csock.herror
function csock.gethostbyaddr(address) end

--- The first IPv4 address of a host.
---@param name string
---@return string address
---@raise csock.gaierror
function csock.gethostbyname(name) end

--- A host by its name: name, aliases, IPv4 addresses.
---@param name string
---@return string name
---@return string[] aliases
---@return string[] addresses
---@raise csock.gaierror
function csock.gethostbyname_ex(name) end

--- The name of this host.
---@return string name
---@raise csock.OSError
function csock.gethostname() end

--- The names of an address: host, service.
---@param address csock.Address
---@param flags integer
---@return string host
---@return string service
---@raise csock.gaierror
function csock.getnameinfo(address, flags) end

--- The number of a protocol, as in IPPROTO_TCP.
---@param name string
---@return integer proto
---@raise csock.OSError
function csock.getprotobyname(name) end

--- The port of a service, by any protocol or by "tcp", "udp" and the like.
---@param name string
---@param protocol? string
---@return integer port
---@raise csock.OSError
function csock.getservbyname(name, protocol) end

--- The name of the service of a port.
---@param port integer
---@param protocol? string
---@return string name
---@raise csock.OSError
function csock.getservbyport(port, protocol) end

--- Whether a socket can take connections by IPv4 and by IPv6.
---@return boolean dualstack
function csock.has_dualstack_ipv6() end

--- 32 bits, in the network's order.
---@param n integer
---@return integer n
function csock.htonl(n) end

--- 16 bits, in the network's order.
---@param n integer
---@return integer n
function csock.htons(n) end

--- The name of an interface.
---@param index integer
---@return string name
---@raise csock.OSError
function csock.if_indextoname(index) end

--- The interfaces of this machine: {index, name} of each.
---@return {[1]: integer, [2]: string}[] interfaces
---@raise csock.OSError
function csock.if_nameindex() end

--- The index of an interface.
---@param name string
---@return integer index
---@raise csock.OSError
function csock.if_nametoindex(name) end

--- The four bytes of an IPv4 address in any of its spellings.
---@param text string
---@return string packed
---@raise csock.OSError
function csock.inet_aton(text) end

--- An IPv4 address of its four bytes.
---@param packed csock.data
---@return string text
---@raise csock.OSError
function csock.inet_ntoa(packed) end

--- An address of its bytes: 4 for AF_INET, 16 for AF_INET6.
---@param family integer
---@param packed csock.data
---@return string text
---@raise csock.OSError
function csock.inet_ntop(family, packed) end

--- The bytes of an address: 4 for AF_INET, 16 for AF_INET6.
---@param family integer
---@param text string
---@return string packed
---@raise csock.OSError
function csock.inet_pton(family, text) end

--- Whether a value is an instance of a class, or of one of a list.
---@param value any
---@param cls csock.class.type|csock.class.type[]|table
---@return boolean is
function csock.isinstance(value, cls) end

--- Whether a class is another, or derives from it, or from one of a list.
---@param cls csock.class.type|table
---@param base csock.class.type|csock.class.type[]|table
---@return boolean is
function csock.issubclass(cls, base) end

--- An object that watches descriptors, as Python's select.poll().
---@return csock.poll poll
function csock.poll() end

--- 32 bits, from the network's order.
---@param n integer
---@return integer n
function csock.ntohl(n) end

--- 16 bits, from the network's order.
---@param n integer
---@return integer n
function csock.ntohs(n) end

--- Receives data and up to `maxfds` descriptors, close-on-exec.
---@param sock csock.socket
---@param bufsize integer
---@param maxfds integer
---@param flags? integer
---@return string data
---@return integer[] fds
---@return integer msg_flags
---@return csock.address|string|nil address
---@raise csock.OSError
function csock.recv_fds(sock, bufsize, maxfds, flags) end

--- Those objects in three lists that can be read, written, have urgent data.
---@param r? any[]
---@param w? any[]
---@param x? any[]
---@param timeout? number
---@return any[] readable
---@return any[] writable
---@return any[] exceptional
---@raise csock.OSError
function csock.select(r, w, x, timeout) end

--- Sends data and open descriptors over a Unix socket.
---@param sock csock.socket
---@param buffers csock.data[]
---@param fds integer[]
---@param flags? integer
---@param address? csock.Address
---@return integer nbytes
---@raise csock.OSError
function csock.send_fds(sock, buffers, fds, flags, address) end

--- Sets the timeout of sockets to be made; nil is none.
---@param seconds? number
---@return true
function csock.setdefaulttimeout(seconds) end

--- Sets the name of this host.
---@param name string
---@return true
---@raise csock.OSError
function csock.sethostname(name) end

--- Two connected sockets: family AF_UNIX, type SOCK_STREAM.
---@param family? integer
---@param type? integer
---@param proto? integer
---@return csock.socket a
---@return csock.socket b
---@raise csock.OSError
function csock.socketpair(family, type, proto) end

--- What csock.poll() makes.
---@class csock.poll
local poll = {}

--- Other events for a descriptor.
---@param fd any
---@param eventmask integer
---@return true
---@raise csock.FileNotFoundError
function poll:modify(fd, eventmask) end

--- What is ready, within so many milliseconds: pairs of number and events.
---@param timeout? number
---@return integer[][] ready
---@raise csock.OSError
function poll:poll(timeout) end

--- Watches a descriptor: for POLLIN, POLLPRI and POLLOUT, or those events.
---@param fd any
---@param eventmask? integer
---@return true
function poll:register(fd, eventmask) end

--- Watches it no more.
---@param fd any
---@return true
function poll:unregister(fd) end

-- csock.loop ------------------------------------------------------------------

--- The event loop.
---@class csock.loop
---@field CancelledError csock.CancelledError What a cancelled task gets in its wait.
---@field QueueEmpty csock.QueueEmpty What get_nowait raises.
---@field QueueFull csock.QueueFull What put_nowait raises.
---@field slow_callback? number Seconds that a task may run before a warning says so.
---@field spin number Seconds to ask for events before sleeping; 0 unless set.
local loop = {}

--- A semaphore that cannot be released more often than it was acquired.
---@param value? integer
---@return csock.loop.Semaphore semaphore
function loop.BoundedSemaphore(value) end

--- A flag to wait for.
---@return csock.loop.Event event
function loop.Event() end

--- What one task holds at a time.
---@return csock.loop.Semaphore lock
function loop.Lock() end

--- Items, first in, first out; as many as one likes if maxsize is 0.
---@param maxsize? integer
---@return csock.loop.Queue queue
function loop.Queue(maxsize) end

--- What so many tasks hold at a time.
---@param value? integer
---@return csock.loop.Semaphore semaphore
function loop.Semaphore(value) end

--- Ends what step and fileno began: cancels what is left.
---@return true
function loop.close() end

--- The running task; nil outside of tasks.
---@return csock.task? task
function loop.current() end

--- A descriptor that is readable when a step has something to do, or nil.
---@return integer? fd
function loop.fileno() end

--- Seconds of a clock that only grows.
---@return number seconds
function loop.now() end

--- Runs f(number, name) in a task of its own each time the signal comes.
---@param signal integer|string
---@param f fun(number: integer, name: string)
---@return csock.loop.signal handle
function loop.on_signal(signal, f) end

--- "epoll" or "poll"; nil outside of run.
---@return string? name
function loop.poller() end

--- Runs f(...) as the main task, with all it spawns, and gives its results.
---@param f function
---@param ... any
---@return any ...
function loop.run(f, ...) end

--- Lets others run for so long.
---@param seconds number
---@return true
function loop.sleep(seconds) end

--- A task that runs f(...), from the next turn on.
---@param f function
---@param ... any
---@return csock.task task
function loop.spawn(f, ...) end

--- Runs what is ready, for a host; seconds until the next step is due, or nil.
---@param timeout? number
---@return number? due
function loop.step(timeout) end

--- What every live task waits for.
---@return csock.loop.entry[] tasks
function loop.tasks() end

--- f(...), in which a wait beyond `seconds` from now raises csock.timeout.
---@param seconds number
---@param f function
---@param ... any
---@return any ...
function loop.timeout(seconds, f, ...) end

--- What loop.tasks() says of a task.
---@class csock.loop.entry
---@field task csock.task The task.
---@field number integer It is the so many-th.
---@field name string Its name.
---@field status string How it is doing.
---@field since? number When its wait began.
---@field op? string What it does.
---@field on? any The socket, task, queue that is about.

--- What loop.on_signal() makes.
---@class csock.loop.signal
local signal = {}

--- The signal does again what it did before.
---@return true
function signal:close() end

--- What loop.Event() makes.
---@class csock.loop.Event
local event = {}

--- It is set no more.
---@return true
function event:clear() end

--- Whether it is set.
---@return boolean set
function event:is_set() end

--- Lets all go on who wait.
---@return true
function event:set() end

--- True when it is set, false after `timeout` seconds.
---@param timeout? number
---@return boolean set
function event:wait(timeout) end

--- What loop.Semaphore(), loop.BoundedSemaphore() and loop.Lock() make.
---@class csock.loop.Semaphore
local semaphore = {}

--- True when it is acquired, false after `timeout` seconds.
---@param timeout? number
---@return boolean acquired
function semaphore:acquire(timeout) end

--- Acquires it; for a variable that closes, which releases it.
---@return csock.loop.Semaphore semaphore
function semaphore:guard() end

--- Whether acquire would have to wait.
---@return boolean locked
function semaphore:locked() end

--- Lets the next one acquire it.
---@return true
function semaphore:release() end

--- What loop.Queue() makes.
---@class csock.loop.Queue
---@field maxsize integer How many items it holds; 0: as many as one likes.
local queue = {}

--- Whether get would have to wait.
---@return boolean empty
function queue:empty() end

--- Whether put would have to wait.
---@return boolean full
function queue:full() end

--- The oldest item, when there is one; a timeout after so many seconds.
---@param timeout? number
---@return any item
---@raise csock.TimeoutError
function queue:get(timeout) end

--- The oldest item.
---@return any item
---@raise csock.QueueEmpty
function queue:get_nowait() end

--- Waits until task_done was called for every item.
---@param timeout? number
---@return true
---@raise csock.TimeoutError
function queue:join(timeout) end

--- Appends an item, when there is room; a timeout after so many seconds.
---@param item any
---@param timeout? number
---@return true
---@raise csock.TimeoutError
function queue:put(item, timeout) end

--- Appends an item.
---@param item any
---@return true
---@raise csock.QueueFull
function queue:put_nowait(item) end

--- How many items a get would find.
---@return integer count
function queue:qsize() end

--- An item that was got has been dealt with.
---@return true
function queue:task_done() end

--- A function that runs on the event loop.
---@class csock.task
---@field name string Its name: Task-1, or what it was given.
local task = {}

--- Makes its wait, or its next one, raise CancelledError; false if it had ended.
---@return boolean cancelled
function task:cancel() end

--- Waits for its end: its results, or its error raised.
---@param timeout? number
---@return any ...
function task:join(timeout) end

--- How it is doing.
---@return "ready"|"running"|"waiting"|"done"|"failed"|"cancelled" status
function task:status() end

--- Where it is, or where its error came from; nil when it came to its end.
---@return string? traceback
function task:traceback() end

--- Lua's coroutine library, with a resume and a wrap that let waits through.
---@class csock.coroutine : coroutinelib

-- csock.class -----------------------------------------------------------------

--- The object model: class(name, base..., body).
---@class csock.class
---@overload fun(name: string, ...: table): any
---@field object csock.class.object The root of all classes.
---@field type csock.class.type The class of classes.
---@field property csock.class.property A field that is computed.
---@field slice csock.class.slice Places in a sequence.
---@field staticmethod csock.class.staticmethod A method that gets its arguments alone.
---@field classmethod csock.class.classmethod A method that gets the class.
local class = {}

--- Deletes an attribute, as Python's `del obj.name`.
---@param obj any
---@param name any
function class.delattr(obj, name) end

--- Whether a value is an instance of a class, or of one of a list.
---@param value any
---@param cls csock.class.type|csock.class.type[]|table
---@return boolean is
function class.isinstance(value, cls) end

--- Whether a class is another, or derives from it, or from one of a list.
---@param cls csock.class.type|table
---@param base csock.class.type|csock.class.type[]|table
---@return boolean is
function class.issubclass(cls, base) end

--- What a generic `for` takes: by __iter, by __getitem, or pairs of a table.
---@param value any
---@return function
---@return any
---@return any
function class.iter(value) end

--- The metatable of a class's instances, for C code.
---@param cls csock.class.type|table
---@return table metatable
function class.metatable(cls) end

--- Answers for the classes that come after `cls` in the order of obj's class.
---@param cls csock.class.type|table
---@param obj any
---@return any proxy
function class.super(cls, obj) end

--- The root of all classes.
---@class csock.class.object
---@field __class csock.class.type|any Its class.
---@field __dict table Its own fields.
---@field __doc? string What it says of itself.
---@field __module? string Where its class was made.

--- The class of classes: type(obj) tells it, type(name, bases, body) makes one.
---@class csock.class.type : csock.class.object
---@overload fun(name: string, bases: table[], body: table): any
---@overload fun(obj: any): csock.class.type?
---@operator call: any
---@field __name string The name of a class.
---@field __bases table[] What it derives from.
---@field __mro table[] It and all it inherits from, in order.

--- A field that is computed: property(fget, fset, fdel, doc).
---@class csock.class.property : csock.class.object
---@overload fun(fget?: function, fset?: function, fdel?: function, doc?: string): csock.class.property
---@field fget? function What gives the value.
---@field fset? function What takes a new one.
---@field fdel? function What deletes it.
local property = {}

--- A copy that has another fget.
---@param f function
---@return csock.class.property
function property:getter(f) end

--- A copy that has another fset.
---@param f function
---@return csock.class.property
function property:setter(f) end

--- A copy that has another fdel.
---@param f function
---@return csock.class.property
function property:deleter(f) end

--- Places in a sequence, from 1 and with both ends in: slice(start, stop, step).
---@class csock.class.slice : csock.class.object
---@overload fun(start?: integer, stop?: integer, step?: integer): csock.class.slice
---@field start? integer The first.
---@field stop? integer The last.
---@field step? integer How far from one to the next.
local slice = {}

--- First, last and step of a `for` over a sequence of n.
---@param n integer
---@return integer first
---@return integer last
---@return integer step
function slice:indices(n) end

--- A method that gets its arguments alone: staticmethod(f).
---@class csock.class.staticmethod : csock.class.object
---@overload fun(f: function): csock.class.staticmethod
---@operator call: any
---@field func function The function.

--- A method that gets the class: classmethod(f).
---@class csock.class.classmethod : csock.class.object
---@overload fun(f: function): csock.class.classmethod
---@operator call: any
---@field func function The function.

-- csock.systemd ---------------------------------------------------------------

--- What a service manager and a program tell each other.
---@class csock.systemd
local systemd = {}

--- What the manager has opened for this process; a socket where it is one.
---@return {name: string, fd: integer, socket?: csock.socket}[] list
---@raise csock.OSError
function systemd.listen_fds() end

--- Tells the manager lines such as READY=1; false where there is none.
---@param state string
---@return boolean told
---@raise csock.OSError
function systemd.notify(state) end

--- The one socket of that name.
---@param name? string
---@return csock.socket|nil socket
---@raise csock.OSError
function systemd.socket(name) end

--- All sockets of that name.
---@param name? string
---@return csock.socket[] sockets
---@raise csock.OSError
function systemd.sockets(name) end

--- Seconds between which the manager wants to hear WATCHDOG=1.
---@return number|nil seconds
function systemd.watchdog() end

-- csock.socketserver ----------------------------------------------------------

--- Python's socketserver module.
---@class csock.socketserver
---@field BaseRequestHandler csock.socketserver.BaseRequestHandler What answers a request.
---@field BaseServer csock.socketserver.BaseServer What all servers have.
---@field TCPServer csock.socketserver.TCPServer Connections, one at a time.
---@field UDPServer csock.socketserver.UDPServer Datagrams, one at a time.
---@field UnixStreamServer csock.socketserver.UnixStreamServer The same over AF_UNIX.
---@field UnixDatagramServer csock.socketserver.UnixDatagramServer The same over AF_UNIX.
---@field StreamRequestHandler csock.socketserver.StreamRequestHandler Files over a connection.
---@field DatagramRequestHandler csock.socketserver.DatagramRequestHandler Files over datagrams.
---@field ForkingMixIn csock.socketserver.ForkingMixIn Each request in a process.
---@field ForkingTCPServer csock.socketserver.ForkingTCPServer A process each.
---@field ForkingUDPServer csock.socketserver.ForkingUDPServer A process each.
---@field ForkingUnixStreamServer csock.socketserver.ForkingUnixStreamServer A process each.
---@field ForkingUnixDatagramServer csock.socketserver.ForkingUnixDatagramServer A process each.
---@field PreforkMixIn csock.socketserver.PreforkMixIn Several processes, each a threading server.
---@field PreforkTCPServer csock.socketserver.PreforkTCPServer Several processes.
---@field PreforkUDPServer csock.socketserver.PreforkUDPServer Several processes.
---@field PreforkUnixStreamServer csock.socketserver.PreforkUnixStreamServer Several processes.
---@field PreforkUnixDatagramServer csock.socketserver.PreforkUnixDatagramServer Several processes.
---@field ThreadingMixIn csock.socketserver.ThreadingMixIn Each request in a task.
---@field ThreadingTCPServer csock.socketserver.ThreadingTCPServer A task each.
---@field ThreadingUDPServer csock.socketserver.ThreadingUDPServer A task each.
---@field ThreadingUnixStreamServer csock.socketserver.ThreadingUnixStreamServer A task each.
---@field ThreadingUnixDatagramServer csock.socketserver.ThreadingUnixDatagramServer A task each.

--- What a server makes of a class or table for each request.
---@alias csock.socketserver.Handler csock.socketserver.BaseRequestHandler|table|function

--- Answers one request: setup(), handle() and finish() are to be overridden.
---@class csock.socketserver.BaseRequestHandler : csock.class.object
---@overload fun(request: any, client_address: any, server: csock.socketserver.BaseServer): csock.socketserver.BaseRequestHandler
---@field request csock.socket|any The connection; {data, socket} for a datagram.
---@field client_address csock.address|string|nil Who asks.
---@field server csock.socketserver.BaseServer The server.
local BaseRequestHandler = {}

--- Called first.
function BaseRequestHandler:setup() end

--- Called to answer.
function BaseRequestHandler:handle() end

--- Called last, also when handle has failed.
function BaseRequestHandler:finish() end

--- Reads and writes a connection as files.
---@class csock.socketserver.StreamRequestHandler : csock.socketserver.BaseRequestHandler
---@overload fun(request: csock.socket, client_address: any, server: csock.socketserver.BaseServer): csock.socketserver.StreamRequestHandler
---@field connection csock.socket The request.
---@field rfile csock.file To read from the client.
---@field wfile csock.file To write to it.
---@field rbufsize integer Bytes that rfile buffers: -1 is 8192.
---@field wbufsize integer Bytes that wfile buffers: 0 sends each write at once.
---@field timeout? number Seconds for each wait on the connection.
---@field disable_nagle_algorithm boolean TCP_NODELAY.
---@field line_limit integer|false|nil Bytes of the longest line that rfile reads.
local StreamRequestHandler = {}

--- Makes the files.
function StreamRequestHandler:setup() end

--- Waits for another request on this connection: false when there is none, and when the server ends; is the server stopping?
---@return boolean
---@return boolean? stopping
function StreamRequestHandler:has_request() end

--- Sends what is left, and closes the files.
function StreamRequestHandler:finish() end

--- Reads a datagram as a file, and answers with one.
---@class csock.socketserver.DatagramRequestHandler : csock.socketserver.BaseRequestHandler
---@overload fun(request: any, client_address: any, server: csock.socketserver.BaseServer): csock.socketserver.DatagramRequestHandler
---@field packet string The data.
---@field socket csock.socket What it came through.
---@field rfile csock.file To read it.
---@field wfile any To write the answer: write, writelines, tell, getvalue.
local DatagramRequestHandler = {}

--- Makes the files.
function DatagramRequestHandler:setup() end

--- Sends what was written, as one datagram.
function DatagramRequestHandler:finish() end

--- Requests taken, being processed, ended well and by an error; bytes received
--- and sent; when the server was made (os.time).
---@alias csock.socketserver.Stats {accepted: integer, active: integer, finished: integer, failed: integer, bytes_in: integer, bytes_out: integer, since: integer}

--- What all servers have: BaseServer(address, RequestHandlerClass).
---@class csock.socketserver.BaseServer : csock.class.object
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler): csock.socketserver.BaseServer
---@field server_address csock.Address Where it serves.
---@field RequestHandlerClass csock.socketserver.Handler What answers.
---@field timeout? number Seconds for handle_request; nil is for ever.
---@field handle_signals boolean Whether SIGINT and SIGTERM end serve_forever.
---@field notify boolean Whether a service manager is told how it does.
---@field drain_timeout? number Seconds that running requests are given at the end.
---@field request_timeout? number Seconds that a handler may take.
---@field max_connections? integer Requests at once; above it clients wait.
---@field slow_callback? number Seconds without a wait that are reported.
---@field stats csock.socketserver.Stats What it has done so far.
---@field stopping boolean Has shutdown, or a signal, ended serve_forever?
local BaseServer = {}

--- Hook: accepting has failed.
---@param err csock.Exception
function BaseServer:accept_error(err) end

--- Cancels the running requests.
function BaseServer:cancel_requests() end

--- Hook: clean up after a request.
---@param request any
function BaseServer:close_request(request) end

--- Waits for the running requests; cancels them after `timeout` seconds.
---@param timeout? number
function BaseServer:drain(timeout) end

--- The listening socket's descriptor.
---@return integer fd
function BaseServer:fileno() end

--- Hook: makes a handler, and lets it answer.
---@param request any
---@param client_address any
function BaseServer:finish_request(request, client_address) end

--- Hook: a request has failed.
---@param request any
---@param client_address any
---@param err any
---@param traceback string
function BaseServer:handle_error(request, client_address, err, traceback) end

--- Takes one request, or calls handle_timeout after `timeout` seconds.
function BaseServer:handle_request() end

--- Hook: no request came in time.
function BaseServer:handle_timeout() end

--- Hook: answers a request, then shuts it down.
---@param request any
---@param client_address any
function BaseServer:process_request(request, client_address) end

--- Serves until shutdown or a signal.
---@param poll_interval? number
function BaseServer:serve_forever(poll_interval) end

--- Hook: before the first request.
function BaseServer:server_activate() end

--- Closes the listening socket.
function BaseServer:server_close() end

--- Hook: called once, when serve_forever takes requests and hears signals.
function BaseServer:server_ready() end

--- Hook: called between requests.
function BaseServer:service_actions() end

--- Ends serve_forever at once; legal anywhere, in a handler too.
function BaseServer:shutdown() end

--- Hook: ends a request.
---@param request any
function BaseServer:shutdown_request(request) end

--- Hook: whether to answer it.
---@param request any
---@param client_address any
---@return boolean answer
function BaseServer:verify_request(request, client_address) end

--- Connections: TCPServer(address, RequestHandlerClass [, bind_and_activate]).
---@class csock.socketserver.TCPServer : csock.socketserver.BaseServer
---@overload fun(server_address: csock.Address|csock.socket, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.TCPServer
---@field socket csock.socket The listening socket.
---@field address_family integer AF_INET.
---@field socket_type integer SOCK_STREAM.
---@field request_queue_size integer The backlog: SOMAXCONN.
---@field allow_reuse_address boolean SO_REUSEADDR.
---@field allow_reuse_port boolean SO_REUSEPORT.
---@field nodelay boolean Whether connections begin without Nagle's algorithm.
---@field dualstack? boolean Whether an AF_INET6 server takes IPv4 as well.
---@field proxy_protocol? string[] Networks of balancers whose PROXY header is believed.
---@field proxy_timeout? number Seconds for that header: 3.
local TCPServer = {}

--- What the client has connected to, as a balancer says, or else the request's
--- own address.
---@param request csock.socket
---@return csock.address address
function TCPServer:destination(request) end

--- Hook: waits for a request.
---@return any request
---@return any client_address
function TCPServer:get_request() end

--- Hook: a balancer's connection is dropped, for want of a PROXY header.
---@param peer_address any
---@param reason string
function TCPServer:proxy_error(peer_address, reason) end

--- Hook: binds the socket.
function TCPServer:server_bind() end

--- Datagrams.
---@class csock.socketserver.UDPServer : csock.socketserver.TCPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.UDPServer
---@field max_packet_size integer Bytes of the longest datagram: 8192.
---@field batch_size integer How many are taken at once while it serves for ever: 32; 1 to 1024.

--- Connections over AF_UNIX.
---@class csock.socketserver.UnixStreamServer : csock.socketserver.TCPServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.UnixStreamServer
---@field mode? string|integer Permissions of its path: octal digits or bits.

--- Datagrams over AF_UNIX.
---@class csock.socketserver.UnixDatagramServer : csock.socketserver.UDPServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.UnixDatagramServer
---@field mode? string|integer Permissions of its path: octal digits or bits.

--- Each request in a process of its own; comes before a server among the bases.
---@class csock.socketserver.ForkingMixIn : csock.class.object
---@field timeout number Seconds for handle_request: 300.
---@field batch_size integer Datagrams that are taken at once: 1.
---@field max_children integer With so many running none is accepted: 40.
---@field block_on_close boolean False: drain does not wait for children.
---@field active_children? table The running children, by their numbers.
local ForkingMixIn = {}

--- Ends the running children.
function ForkingMixIn:cancel_requests() end

--- Notes which children have ended; with `blocking` waits for all.
---@param blocking? boolean
function ForkingMixIn:collect_children(blocking) end

--- Waits for the running children; ends them after `timeout` seconds.
---@param timeout? number
function ForkingMixIn:drain(timeout) end

--- Collects the children.
function ForkingMixIn:handle_timeout() end

--- Forks a child for a request.
---@param request any
---@param client_address any
function ForkingMixIn:process_request(request, client_address) end

--- Closes the listening socket, and drains.
function ForkingMixIn:server_close() end

--- Serves until shutdown(), in a child too, or a signal.
---@param poll_interval? number
function ForkingMixIn:serve_forever(poll_interval) end

--- Stops serve_forever; in a child, that of the parent.
function ForkingMixIn:shutdown() end

--- Hook: called between requests.
function ForkingMixIn:service_actions() end

--- Ends the connection, whoever else has a copy.
---@param request any
function ForkingMixIn:shutdown_request(request) end

---@class csock.socketserver.ForkingTCPServer : csock.socketserver.ForkingMixIn, csock.socketserver.TCPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ForkingTCPServer

---@class csock.socketserver.ForkingUDPServer : csock.socketserver.ForkingMixIn, csock.socketserver.UDPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ForkingUDPServer

---@class csock.socketserver.ForkingUnixStreamServer : csock.socketserver.ForkingMixIn, csock.socketserver.UnixStreamServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ForkingUnixStreamServer

---@class csock.socketserver.ForkingUnixDatagramServer : csock.socketserver.ForkingMixIn, csock.socketserver.UnixDatagramServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ForkingUnixDatagramServer

--- Each request in a task of its own; comes before a server among the bases.
---@class csock.socketserver.ThreadingMixIn : csock.class.object
---@field daemon_threads boolean True: drain does not wait for requests.
---@field block_on_close boolean False: the same.
local ThreadingMixIn = {}

--- Cancels the running requests, but for the caller.
function ThreadingMixIn:cancel_requests() end

--- Waits for the running requests; cancels them after `timeout` seconds.
---@param timeout? number
function ThreadingMixIn:drain(timeout) end

--- Starts a task for a request.
---@param request any
---@param client_address any
function ThreadingMixIn:process_request(request, client_address) end

--- What that task does.
---@param request any
---@param client_address any
function ThreadingMixIn:process_request_thread(request, client_address) end

--- Closes the listening socket, and drains.
function ThreadingMixIn:server_close() end

---@class csock.socketserver.ThreadingTCPServer : csock.socketserver.ThreadingMixIn, csock.socketserver.TCPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ThreadingTCPServer

---@class csock.socketserver.ThreadingUDPServer : csock.socketserver.ThreadingMixIn, csock.socketserver.UDPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ThreadingUDPServer

---@class csock.socketserver.ThreadingUnixStreamServer : csock.socketserver.ThreadingMixIn, csock.socketserver.UnixStreamServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ThreadingUnixStreamServer

---@class csock.socketserver.ThreadingUnixDatagramServer : csock.socketserver.ThreadingMixIn, csock.socketserver.UnixDatagramServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.ThreadingUnixDatagramServer

--- Several processes, each a threading server; comes before a server.
---@class csock.socketserver.PreforkMixIn : csock.socketserver.ThreadingMixIn
---@field workers? integer How many; nil: one a processor.
---@field own_listeners boolean Whether each has a listening socket of its own.
---@field reload_timeout? number Seconds that old workers are given after a reload.
---@field worker? integer In a worker: its number, from 1.
local PreforkMixIn = {}

--- Cancels the running requests, in all workers.
function PreforkMixIn:cancel_requests() end

--- Ends the workers; kills them after `timeout` seconds.
---@param timeout? number
function PreforkMixIn:drain(timeout) end

--- Hook: in the parent, before new workers take over.
function PreforkMixIn:reload() end

--- What SIGHUP does: starts new workers, and lets the old ones end.
---@return boolean replaced
function PreforkMixIn:restart_workers() end

--- Starts the workers, and keeps them alive until shutdown or a signal.
---@param poll_interval? number
function PreforkMixIn:serve_forever(poll_interval) end

--- Binds the socket, so that others of this server may follow.
function PreforkMixIn:server_bind() end

--- Closes the listening sockets, and ends the workers.
function PreforkMixIn:server_close() end

--- Stops serve_forever and all workers.
function PreforkMixIn:shutdown() end

--- Hook: a worker has ended that nobody had told to.
---@param worker integer
---@param how "exit"|"signal"
---@param number integer
---@param pause number
function PreforkMixIn:worker_ended(worker, how, number, pause) end

--- Hook: in a worker, when it has ended to serve.
function PreforkMixIn:worker_exit() end

--- Hook: in a worker, before it serves.
function PreforkMixIn:worker_start() end

---@class csock.socketserver.PreforkTCPServer : csock.socketserver.PreforkMixIn, csock.socketserver.TCPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.PreforkTCPServer

---@class csock.socketserver.PreforkUDPServer : csock.socketserver.PreforkMixIn, csock.socketserver.UDPServer
---@overload fun(server_address: csock.Address, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.PreforkUDPServer

---@class csock.socketserver.PreforkUnixStreamServer : csock.socketserver.PreforkMixIn, csock.socketserver.UnixStreamServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.PreforkUnixStreamServer

---@class csock.socketserver.PreforkUnixDatagramServer : csock.socketserver.PreforkMixIn, csock.socketserver.UnixDatagramServer
---@overload fun(server_address: string, RequestHandlerClass: csock.socketserver.Handler, bind_and_activate?: boolean): csock.socketserver.PreforkUnixDatagramServer

-- Written by `make types` from here on ----------------------------------------

--- As csock.socket, but returns nil and an error.
---@class csock.safe.socket : csock.socket
---@overload fun(family?: integer, type?: integer, proto?: integer, fileno?: integer): csock.safe.socket?, csock.OSError?
local safe_socket = {}

--- Waits for a connection.
---@return csock.safe.socket|nil conn
---@return csock.address|string|nil|csock.OSError address
function safe_socket:accept() end

--- Gives it an address.
---@param address csock.Address
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:bind(address) end

--- Closes it; whoever waits for it gets EBADF.
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:close() end

--- Connects it to an address; waits as long as its timeout says.
---@param address csock.Address
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:connect(address) end

--- As connect, but returns the errno that connect would raise, 0 for none.
---@param address csock.Address
---@return integer|nil errno
---@return csock.gaierror|nil err
function safe_socket:connect_ex(address) end

--- Another socket of its class for the same open file.
---@return csock.safe.socket|nil sock
---@return csock.OSError|nil err
function safe_socket:dup() end

--- Whether programs that are executed get the descriptor.
---@return boolean|nil inheritable
---@return csock.OSError|nil err
function safe_socket:get_inheritable() end

--- The address of the peer.
---@return csock.address|string|nil address
---@return csock.OSError|nil err
function safe_socket:getpeername() end

--- Its own address.
---@return csock.address|string|nil address
---@return csock.OSError|nil err
function safe_socket:getsockname() end

--- An option's value: an integer, or with a length that many bytes.
---@param level integer
---@param option integer
---@param length? integer
---@return integer|string|nil value
---@return csock.OSError|nil err
function safe_socket:getsockopt(level, option, length) end

--- Lets it take connections, `backlog` of them (SOMAXCONN) in the queue.
---@param backlog? integer
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:listen(backlog) end

--- A file over it, which keeps it open: mode of r, w and b; buffering in bytes.
---@param mode? string
---@param buffering? integer
---@return csock.safe.file|nil file
---@return csock.OSError|nil err
function safe_socket:makefile(mode, buffering) end

--- Up to `bufsize` bytes; "" is the end of a stream.
---@param bufsize integer
---@param flags? integer
---@return string|nil data
---@return csock.OSError|nil err
function safe_socket:recv(bufsize, flags) end

--- Receives into a buffer, `nbytes` at most (0: all of it).
---@param buffer csock.buffer
---@param nbytes? integer
---@param flags? integer
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_socket:recv_into(buffer, nbytes, flags) end

--- Up to `bufsize` bytes, and who sent them.
---@param bufsize integer
---@param flags? integer
---@return string|nil data
---@return csock.address|string|nil|csock.OSError address
function safe_socket:recvfrom(bufsize, flags) end

--- Receives into a buffer, and tells who sent it.
---@param buffer csock.buffer
---@param nbytes? integer
---@param flags? integer
---@return integer|nil nbytes
---@return csock.address|string|nil|csock.OSError address
function safe_socket:recvfrom_into(buffer, nbytes, flags) end

--- A message, with room for `ancbufsize` bytes of ancillary data.
---@param bufsize integer
---@param ancbufsize? integer
---@param flags? integer
---@return string|nil data
---@return csock.ancillary|csock.OSError ancdata
---@return integer|nil msg_flags
---@return csock.address|string|nil address
function safe_socket:recvmsg(bufsize, ancbufsize, flags) end

--- A message into several buffers, filled one after the other.
---@param buffers csock.buffer[]
---@param ancbufsize? integer
---@param flags? integer
---@return integer|nil nbytes
---@return csock.ancillary|csock.OSError ancdata
---@return integer|nil msg_flags
---@return csock.address|string|nil address
function safe_socket:recvmsg_into(buffers, ancbufsize, flags) end

--- Sends what the system takes at once.
---@param data csock.data
---@param flags? integer
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_socket:send(data, flags) end

--- Sends all; the timeout is for the whole.
---@param data csock.data
---@param flags? integer
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:sendall(data, flags) end

--- Sends a file from `offset` (0) to its end, or `count` bytes of it.
---@param file file*|{read: function}
---@param offset? integer
---@param count? integer
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_socket:sendfile(file, offset, count) end

--- Sends several pieces as one message, with ancillary data.
---@param buffers csock.data[]
---@param ancdata? csock.ancillary
---@param flags? integer
---@param address? csock.Address
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_socket:sendmsg(buffers, ancdata, flags, address) end

--- Sends to the kernel's cryptography (AF_ALG).
---@param buffers? csock.data[]
---@param op integer
---@param iv? csock.data
---@param assoclen? integer
---@param flags? integer
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_socket:sendmsg_afalg(buffers, op, iv, assoclen, flags) end

--- Sends to an address: sendto(data, address) or sendto(data, flags, address).
---@param data csock.data
---@param flags integer
---@param address csock.Address
---@overload fun(self, data: csock.data, address: csock.Address): integer|nil, csock.OSError|nil
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_socket:sendto(data, flags, address) end

--- Lets programs that are executed get the descriptor, or not.
---@param inheritable boolean
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:set_inheritable(inheritable) end

--- Makes operations wait for ever, or not at all.
---@param flag boolean
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:setblocking(flag) end

--- Sets an option; nil as value takes the length that the option wants.
---@param level integer
---@param option integer
---@param value integer|boolean|csock.data|nil
---@param length? integer
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:setsockopt(level, option, value, length) end

--- Sets how many seconds an operation may wait; nil is for ever.
---@param seconds? number
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:settimeout(seconds) end

--- Ends reading, writing or both: SHUT_RD, SHUT_WR, SHUT_RDWR.
---@param how integer
---@return true|nil
---@return csock.OSError|nil err
function safe_socket:shutdown(how) end

--- As csock.file, but returns nil and an error.
---@class csock.safe.file : csock.file
local safe_file = {}

--- Flushes and closes it.
---@return true|nil
---@return csock.OSError|nil err
function safe_file:close() end

--- Sends what was collected.
---@return true|nil
---@return csock.OSError|nil err
function safe_file:flush() end

--- What the next read begins with; it stays.
---@return string? data
---@return csock.OSError|nil err
function safe_file:peek() end

--- All to the end, a count of bytes, or Lua's formats.
---@param ... string|integer
---@return string|number|nil data
---@return csock.OSError|nil err
function safe_file:read(...) end

--- What is there, else what one receive call brings.
---@param size? integer
---@return string? data
---@return csock.OSError|nil err
function safe_file:read1(size) end

--- Lines with the empty one that ends them, of `limit` bytes at most.
---@param limit? integer
---@return string? head
---@return csock.OSError|nil err
function safe_file:readhead(limit) end

--- Reads into a buffer.
---@param buffer csock.buffer
---@return integer? nbytes
---@return csock.OSError|nil err
function safe_file:readinto(buffer) end

--- The strings of what follows a format, or how many went into `list`.
---@param format string
---@param list? table
---@param most? integer
---@param longest? integer
---@return string|integer|false|nil ...
---@return csock.OSError|nil err
function safe_file:readrecord(format, list, most, longest) end

--- A line with its newline, of `limit` bytes at most.
---@param limit? integer
---@return string? line
---@return csock.OSError|nil err
function safe_file:readline(limit) end

--- A list of lines, to the end or until `hint` bytes.
---@param hint? integer
---@return string[]? lines
---@return csock.OSError|nil err
function safe_file:readlines(hint) end

--- Collects data for the socket, and tells how many bytes that is.
---@param ... csock.data|number
---@return integer? nbytes
---@return csock.OSError|nil err
function safe_file:write(...) end

--- Writes each of a list.
---@param lines (csock.data|number)[]
---@return true|nil
---@return csock.OSError|nil err
function safe_file:writelines(lines) end

--- As csock, but returns nil and an error.
---@class csock.safe : csock
---@field socket csock.safe.socket The class of sockets.
---@field SocketType csock.safe.socket Python's other name for it.
local safe_csock = {}

--- Closes a descriptor.
---@param fd integer
---@return true|nil
---@return csock.OSError|nil err
function safe_csock.close(fd) end

--- A connected TCP socket, to whichever of the host's addresses answers first.
---@param address csock.Address
---@param timeout? number|{timeout?: number|false, source_address?: csock.Address, all_errors?: boolean}
---@param source_address? csock.Address
---@param all_errors? boolean
---@return csock.safe.socket|nil sock
---@return csock.Exception|nil err
function safe_csock.create_connection(address, timeout, source_address, all_errors) end

--- A listening TCP socket.
---@param address csock.Address
---@param options? {family?: integer, backlog?: integer, reuse_port?: boolean, dualstack_ipv6?: boolean}
---@return csock.safe.socket|nil sock
---@return csock.OSError|nil err
function safe_csock.create_server(address, options) end

--- Another descriptor of the same open file, close-on-exec.
---@param fd integer
---@return integer|nil fd
---@return csock.OSError|nil err
function safe_csock.dup(fd) end

--- A socket with a copy of a descriptor; the system says what is left out.
---@param fd integer
---@param family? integer
---@param type? integer
---@param proto? integer
---@return csock.safe.socket|nil sock
---@return csock.OSError|nil err
function safe_csock.fromfd(fd, family, type, proto) end

--- The addresses of a host and a service: {family, type, proto, name, address}.
---@param host string|nil|{host?: string, port?: string|integer, family?: integer, type?: integer, proto?: integer, flags?: integer, timeout?: number}
---@param port? string|integer
---@param family? integer|table
---@param type? integer
---@param proto? integer
---@param flags? integer
---@param timeout? number
---@return {[1]: integer, [2]: integer, [3]: integer, [4]: string, [5]: csock.address}[]|nil infos
---@return csock.gaierror|nil err
function safe_csock.getaddrinfo(host, port, family, type, proto, flags, timeout) end

--- The full name of a host, by default of this one.
---@param name? string
---@return string|nil name
---@return csock.TimeoutError|nil err
function safe_csock.getfqdn(name) end

--- A host by its address: name, aliases, addresses.
---@param address string
---@return string|nil name
---@return string[]|csock.herror aliases
---@return string[]|nil addresses
function safe_csock.gethostbyaddr(address) end

--- The first IPv4 address of a host.
---@param name string
---@return string|nil address
---@return csock.gaierror|nil err
function safe_csock.gethostbyname(name) end

--- A host by its name: name, aliases, IPv4 addresses.
---@param name string
---@return string|nil name
---@return string[]|csock.gaierror aliases
---@return string[]|nil addresses
function safe_csock.gethostbyname_ex(name) end

--- The name of this host.
---@return string|nil name
---@return csock.OSError|nil err
function safe_csock.gethostname() end

--- The names of an address: host, service.
---@param address csock.Address
---@param flags integer
---@return string|nil host
---@return string|csock.gaierror service
function safe_csock.getnameinfo(address, flags) end

--- The number of a protocol, as in IPPROTO_TCP.
---@param name string
---@return integer|nil proto
---@return csock.OSError|nil err
function safe_csock.getprotobyname(name) end

--- The port of a service, by any protocol or by "tcp", "udp" and the like.
---@param name string
---@param protocol? string
---@return integer|nil port
---@return csock.OSError|nil err
function safe_csock.getservbyname(name, protocol) end

--- The name of the service of a port.
---@param port integer
---@param protocol? string
---@return string|nil name
---@return csock.OSError|nil err
function safe_csock.getservbyport(port, protocol) end

--- The name of an interface.
---@param index integer
---@return string|nil name
---@return csock.OSError|nil err
function safe_csock.if_indextoname(index) end

--- The interfaces of this machine: {index, name} of each.
---@return {[1]: integer, [2]: string}[]|nil interfaces
---@return csock.OSError|nil err
function safe_csock.if_nameindex() end

--- The index of an interface.
---@param name string
---@return integer|nil index
---@return csock.OSError|nil err
function safe_csock.if_nametoindex(name) end

--- The four bytes of an IPv4 address in any of its spellings.
---@param text string
---@return string|nil packed
---@return csock.OSError|nil err
function safe_csock.inet_aton(text) end

--- An IPv4 address of its four bytes.
---@param packed csock.data
---@return string|nil text
---@return csock.OSError|nil err
function safe_csock.inet_ntoa(packed) end

--- An address of its bytes: 4 for AF_INET, 16 for AF_INET6.
---@param family integer
---@param packed csock.data
---@return string|nil text
---@return csock.OSError|nil err
function safe_csock.inet_ntop(family, packed) end

--- The bytes of an address: 4 for AF_INET, 16 for AF_INET6.
---@param family integer
---@param text string
---@return string|nil packed
---@return csock.OSError|nil err
function safe_csock.inet_pton(family, text) end

--- Receives data and up to `maxfds` descriptors, close-on-exec.
---@param sock csock.socket
---@param bufsize integer
---@param maxfds integer
---@param flags? integer
---@return string|nil data
---@return integer[]|csock.OSError fds
---@return integer|nil msg_flags
---@return csock.address|string|nil address
function safe_csock.recv_fds(sock, bufsize, maxfds, flags) end

--- Those objects in three lists that can be read, written, have urgent data.
---@param r? any[]
---@param w? any[]
---@param x? any[]
---@param timeout? number
---@return any[]|nil readable
---@return any[]|csock.OSError writable
---@return any[]|nil exceptional
function safe_csock.select(r, w, x, timeout) end

--- Sends data and open descriptors over a Unix socket.
---@param sock csock.socket
---@param buffers csock.data[]
---@param fds integer[]
---@param flags? integer
---@param address? csock.Address
---@return integer|nil nbytes
---@return csock.OSError|nil err
function safe_csock.send_fds(sock, buffers, fds, flags, address) end

--- Sets the name of this host.
---@param name string
---@return true|nil
---@return csock.OSError|nil err
function safe_csock.sethostname(name) end

--- Two connected sockets: family AF_UNIX, type SOCK_STREAM.
---@param family? integer
---@param type? integer
---@param proto? integer
---@return csock.safe.socket|nil a
---@return csock.safe.socket|csock.OSError b
function safe_csock.socketpair(family, type, proto) end

--- The constants of C's headers; one may be absent.
---@class csock.constants
---@field AF_ALG integer
---@field AF_APPLETALK integer
---@field AF_ASH integer
---@field AF_ATMPVC integer
---@field AF_ATMSVC integer
---@field AF_AX25 integer
---@field AF_BRIDGE integer
---@field AF_CAN integer
---@field AF_DECnet integer
---@field AF_ECONET integer
---@field AF_IEEE802154 integer
---@field AF_INET integer
---@field AF_INET6 integer
---@field AF_IPX integer
---@field AF_IRDA integer
---@field AF_KCM integer
---@field AF_KEY integer
---@field AF_LLC integer
---@field AF_MPLS integer
---@field AF_NETBEUI integer
---@field AF_NETLINK integer
---@field AF_NETROM integer
---@field AF_NFC integer
---@field AF_PACKET integer
---@field AF_PPPOX integer
---@field AF_QIPCRTR integer
---@field AF_RDS integer
---@field AF_ROSE integer
---@field AF_ROUTE integer
---@field AF_SECURITY integer
---@field AF_SMC integer
---@field AF_SNA integer
---@field AF_TIPC integer
---@field AF_UNIX integer
---@field AF_UNSPEC integer
---@field AF_VSOCK integer
---@field AF_WANPIPE integer
---@field AF_X25 integer
---@field AF_XDP integer
---@field PF_CAN integer
---@field PF_PACKET integer
---@field PF_RDS integer
---@field SOCK_CLOEXEC integer
---@field SOCK_DCCP integer
---@field SOCK_DGRAM integer
---@field SOCK_NONBLOCK integer
---@field SOCK_PACKET integer
---@field SOCK_RAW integer
---@field SOCK_RDM integer
---@field SOCK_SEQPACKET integer
---@field SOCK_STREAM integer
---@field SOL_ALG integer
---@field SOL_CAN_BASE integer
---@field SOL_CAN_RAW integer
---@field SOL_ICMPV6 integer
---@field SOL_IP integer
---@field SOL_IPV6 integer
---@field SOL_NETLINK integer
---@field SOL_PACKET integer
---@field SOL_RAW integer
---@field SOL_RDS integer
---@field SOL_SOCKET integer
---@field SOL_TCP integer
---@field SOL_TIPC integer
---@field SOL_TLS integer
---@field SOL_UDP integer
---@field SOL_VSOCK integer
---@field SOL_XDP integer
---@field SO_ACCEPTCONN integer
---@field SO_ATTACH_BPF integer
---@field SO_ATTACH_FILTER integer
---@field SO_ATTACH_REUSEPORT_CBPF integer
---@field SO_ATTACH_REUSEPORT_EBPF integer
---@field SO_BINDTODEVICE integer
---@field SO_BINDTOIFINDEX integer
---@field SO_BROADCAST integer
---@field SO_BSDCOMPAT integer
---@field SO_BUSY_POLL integer
---@field SO_BUSY_POLL_BUDGET integer
---@field SO_COOKIE integer
---@field SO_DEBUG integer
---@field SO_DETACH_FILTER integer
---@field SO_DOMAIN integer
---@field SO_DONTROUTE integer
---@field SO_ERROR integer
---@field SO_INCOMING_CPU integer
---@field SO_INCOMING_NAPI_ID integer
---@field SO_J1939_ERRQUEUE integer
---@field SO_J1939_FILTER integer
---@field SO_J1939_PROMISC integer
---@field SO_J1939_SEND_PRIO integer
---@field SO_KEEPALIVE integer
---@field SO_LINGER integer
---@field SO_LOCK_FILTER integer
---@field SO_MARK integer
---@field SO_MAX_PACING_RATE integer
---@field SO_MEMINFO integer
---@field SO_NETNS_COOKIE integer
---@field SO_NOFCS integer
---@field SO_NO_CHECK integer
---@field SO_OOBINLINE integer
---@field SO_ORIGINAL_DST integer
---@field SO_PASSCRED integer
---@field SO_PASSSEC integer
---@field SO_PEEK_OFF integer
---@field SO_PEERCRED integer
---@field SO_PEERGROUPS integer
---@field SO_PEERSEC integer
---@field SO_PREFER_BUSY_POLL integer
---@field SO_PRIORITY integer
---@field SO_PROTOCOL integer
---@field SO_RCVBUF integer
---@field SO_RCVBUFFORCE integer
---@field SO_RCVLOWAT integer
---@field SO_RCVMARK integer
---@field SO_RCVTIMEO integer
---@field SO_RCVTIMEO_NEW integer
---@field SO_RESERVE_MEM integer
---@field SO_REUSEADDR integer
---@field SO_REUSEPORT integer
---@field SO_RXQ_OVFL integer
---@field SO_SELECT_ERR_QUEUE integer
---@field SO_SNDBUF integer
---@field SO_SNDBUFFORCE integer
---@field SO_SNDLOWAT integer
---@field SO_SNDTIMEO integer
---@field SO_SNDTIMEO_NEW integer
---@field SO_TIMESTAMP integer
---@field SO_TIMESTAMPING integer
---@field SO_TIMESTAMPING_NEW integer
---@field SO_TIMESTAMPNS integer
---@field SO_TIMESTAMPNS_NEW integer
---@field SO_TIMESTAMP_NEW integer
---@field SO_TXREHASH integer
---@field SO_TXTIME integer
---@field SO_TYPE integer
---@field SO_VM_SOCKETS_BUFFER_MAX_SIZE integer
---@field SO_VM_SOCKETS_BUFFER_MIN_SIZE integer
---@field SO_VM_SOCKETS_BUFFER_SIZE integer
---@field SO_WIFI_STATUS integer
---@field SO_ZEROCOPY integer
---@field SOMAXCONN integer
---@field SCM_CREDENTIALS integer
---@field SCM_J1939_DEST_ADDR integer
---@field SCM_J1939_DEST_NAME integer
---@field SCM_J1939_ERRQUEUE integer
---@field SCM_J1939_PRIO integer
---@field SCM_RIGHTS integer
---@field SCM_SECURITY integer
---@field SCM_TIMESTAMP integer
---@field SCM_TIMESTAMPING integer
---@field SCM_TIMESTAMPNS integer
---@field SCM_TXTIME integer
---@field SHUT_RD integer
---@field SHUT_RDWR integer
---@field SHUT_WR integer
---@field MSG_BATCH integer
---@field MSG_CMSG_CLOEXEC integer
---@field MSG_CONFIRM integer
---@field MSG_CTRUNC integer
---@field MSG_DONTROUTE integer
---@field MSG_DONTWAIT integer
---@field MSG_EOR integer
---@field MSG_ERRQUEUE integer
---@field MSG_FASTOPEN integer
---@field MSG_FIN integer
---@field MSG_MORE integer
---@field MSG_NOSIGNAL integer
---@field MSG_OOB integer
---@field MSG_PEEK integer
---@field MSG_PROXY integer
---@field MSG_RST integer
---@field MSG_SYN integer
---@field MSG_TRUNC integer
---@field MSG_WAITALL integer
---@field MSG_WAITFORONE integer
---@field MSG_ZEROCOPY integer
---@field IPPROTO_AH integer
---@field IPPROTO_BEETPH integer
---@field IPPROTO_COMP integer
---@field IPPROTO_DCCP integer
---@field IPPROTO_DSTOPTS integer
---@field IPPROTO_EGP integer
---@field IPPROTO_ENCAP integer
---@field IPPROTO_ESP integer
---@field IPPROTO_ETHERNET integer
---@field IPPROTO_FRAGMENT integer
---@field IPPROTO_GRE integer
---@field IPPROTO_HOPOPTS integer
---@field IPPROTO_ICMP integer
---@field IPPROTO_ICMPV6 integer
---@field IPPROTO_IDP integer
---@field IPPROTO_IGMP integer
---@field IPPROTO_IP integer
---@field IPPROTO_IPIP integer
---@field IPPROTO_IPV6 integer
---@field IPPROTO_MH integer
---@field IPPROTO_MPLS integer
---@field IPPROTO_MPTCP integer
---@field IPPROTO_MTP integer
---@field IPPROTO_NONE integer
---@field IPPROTO_PIM integer
---@field IPPROTO_PUP integer
---@field IPPROTO_RAW integer
---@field IPPROTO_ROUTING integer
---@field IPPROTO_RSVP integer
---@field IPPROTO_SCTP integer
---@field IPPROTO_TCP integer
---@field IPPROTO_TP integer
---@field IPPROTO_UDP integer
---@field IPPROTO_UDPLITE integer
---@field IPPORT_RESERVED integer
---@field IPPORT_USERRESERVED integer
---@field INADDR_ALLHOSTS_GROUP integer
---@field INADDR_ANY integer
---@field INADDR_BROADCAST integer
---@field INADDR_LOOPBACK integer
---@field INADDR_MAX_LOCAL_GROUP integer
---@field INADDR_NONE integer
---@field INADDR_UNSPEC_GROUP integer
---@field IP_ADD_MEMBERSHIP integer
---@field IP_ADD_SOURCE_MEMBERSHIP integer
---@field IP_BIND_ADDRESS_NO_PORT integer
---@field IP_BLOCK_SOURCE integer
---@field IP_CHECKSUM integer
---@field IP_DEFAULT_MULTICAST_LOOP integer
---@field IP_DEFAULT_MULTICAST_TTL integer
---@field IP_DROP_MEMBERSHIP integer
---@field IP_DROP_SOURCE_MEMBERSHIP integer
---@field IP_FREEBIND integer
---@field IP_HDRINCL integer
---@field IP_IPSEC_POLICY integer
---@field IP_LOCAL_PORT_RANGE integer
---@field IP_MAX_MEMBERSHIPS integer
---@field IP_MINTTL integer
---@field IP_MSFILTER integer
---@field IP_MTU integer
---@field IP_MTU_DISCOVER integer
---@field IP_MULTICAST_ALL integer
---@field IP_MULTICAST_IF integer
---@field IP_MULTICAST_LOOP integer
---@field IP_MULTICAST_TTL integer
---@field IP_NODEFRAG integer
---@field IP_OPTIONS integer
---@field IP_ORIGDSTADDR integer
---@field IP_PASSSEC integer
---@field IP_PKTINFO integer
---@field IP_PKTOPTIONS integer
---@field IP_PMTUDISC_DO integer
---@field IP_PMTUDISC_DONT integer
---@field IP_PMTUDISC_INTERFACE integer
---@field IP_PMTUDISC_OMIT integer
---@field IP_PMTUDISC_PROBE integer
---@field IP_PMTUDISC_WANT integer
---@field IP_RECVERR integer
---@field IP_RECVERR_RFC4884 integer
---@field IP_RECVFRAGSIZE integer
---@field IP_RECVOPTS integer
---@field IP_RECVORIGDSTADDR integer
---@field IP_RECVRETOPTS integer
---@field IP_RECVTOS integer
---@field IP_RECVTTL integer
---@field IP_RETOPTS integer
---@field IP_ROUTER_ALERT integer
---@field IP_TOS integer
---@field IP_TRANSPARENT integer
---@field IP_TTL integer
---@field IP_UNBLOCK_SOURCE integer
---@field IP_UNICAST_IF integer
---@field IP_XFRM_POLICY integer
---@field IPV6_2292DSTOPTS integer
---@field IPV6_2292HOPLIMIT integer
---@field IPV6_2292PKTINFO integer
---@field IPV6_ADDRFORM integer
---@field IPV6_ADDR_PREFERENCES integer
---@field IPV6_ADD_MEMBERSHIP integer
---@field IPV6_AUTHHDR integer
---@field IPV6_AUTOFLOWLABEL integer
---@field IPV6_CHECKSUM integer
---@field IPV6_DONTFRAG integer
---@field IPV6_DROP_MEMBERSHIP integer
---@field IPV6_DSTOPTS integer
---@field IPV6_FREEBIND integer
---@field IPV6_HDRINCL integer
---@field IPV6_HOPLIMIT integer
---@field IPV6_HOPOPTS integer
---@field IPV6_JOIN_ANYCAST integer
---@field IPV6_JOIN_GROUP integer
---@field IPV6_LEAVE_ANYCAST integer
---@field IPV6_LEAVE_GROUP integer
---@field IPV6_MINHOPCOUNT integer
---@field IPV6_MTU integer
---@field IPV6_MTU_DISCOVER integer
---@field IPV6_MULTICAST_ALL integer
---@field IPV6_MULTICAST_HOPS integer
---@field IPV6_MULTICAST_IF integer
---@field IPV6_MULTICAST_LOOP integer
---@field IPV6_NEXTHOP integer
---@field IPV6_ORIGDSTADDR integer
---@field IPV6_PATHMTU integer
---@field IPV6_PKTINFO integer
---@field IPV6_PMTUDISC_DO integer
---@field IPV6_PMTUDISC_DONT integer
---@field IPV6_PMTUDISC_INTERFACE integer
---@field IPV6_PMTUDISC_OMIT integer
---@field IPV6_PMTUDISC_PROBE integer
---@field IPV6_PMTUDISC_WANT integer
---@field IPV6_RECVDSTOPTS integer
---@field IPV6_RECVERR integer
---@field IPV6_RECVERR_RFC4884 integer
---@field IPV6_RECVFRAGSIZE integer
---@field IPV6_RECVHOPLIMIT integer
---@field IPV6_RECVHOPOPTS integer
---@field IPV6_RECVORIGDSTADDR integer
---@field IPV6_RECVPATHMTU integer
---@field IPV6_RECVPKTINFO integer
---@field IPV6_RECVRTHDR integer
---@field IPV6_RECVTCLASS integer
---@field IPV6_ROUTER_ALERT integer
---@field IPV6_ROUTER_ALERT_ISOLATE integer
---@field IPV6_RTHDR integer
---@field IPV6_RTHDRDSTOPTS integer
---@field IPV6_RTHDR_TYPE_0 integer
---@field IPV6_TCLASS integer
---@field IPV6_TRANSPARENT integer
---@field IPV6_UNICAST_HOPS integer
---@field IPV6_UNICAST_IF integer
---@field IPV6_V6ONLY integer
---@field MCAST_BLOCK_SOURCE integer
---@field MCAST_EXCLUDE integer
---@field MCAST_INCLUDE integer
---@field MCAST_JOIN_GROUP integer
---@field MCAST_JOIN_SOURCE_GROUP integer
---@field MCAST_LEAVE_GROUP integer
---@field MCAST_LEAVE_SOURCE_GROUP integer
---@field MCAST_MSFILTER integer
---@field MCAST_UNBLOCK_SOURCE integer
---@field TCP_CC_INFO integer
---@field TCP_CM_INQ integer
---@field TCP_CONGESTION integer
---@field TCP_COOKIE_TRANSACTIONS integer
---@field TCP_CORK integer
---@field TCP_DEFER_ACCEPT integer
---@field TCP_FASTOPEN integer
---@field TCP_FASTOPEN_CONNECT integer
---@field TCP_FASTOPEN_KEY integer
---@field TCP_FASTOPEN_NO_COOKIE integer
---@field TCP_INFO integer
---@field TCP_INQ integer
---@field TCP_KEEPCNT integer
---@field TCP_KEEPIDLE integer
---@field TCP_KEEPINTVL integer
---@field TCP_LINGER2 integer
---@field TCP_MAXSEG integer
---@field TCP_MD5SIG integer
---@field TCP_MD5SIG_EXT integer
---@field TCP_NODELAY integer
---@field TCP_NOTSENT_LOWAT integer
---@field TCP_QUEUE_SEQ integer
---@field TCP_QUICKACK integer
---@field TCP_REPAIR integer
---@field TCP_REPAIR_OPTIONS integer
---@field TCP_REPAIR_QUEUE integer
---@field TCP_REPAIR_WINDOW integer
---@field TCP_SAVED_SYN integer
---@field TCP_SAVE_SYN integer
---@field TCP_SYNCNT integer
---@field TCP_THIN_DUPACK integer
---@field TCP_THIN_LINEAR_TIMEOUTS integer
---@field TCP_TIMESTAMP integer
---@field TCP_TX_DELAY integer
---@field TCP_ULP integer
---@field TCP_USER_TIMEOUT integer
---@field TCP_WINDOW_CLAMP integer
---@field TCP_ZEROCOPY_RECEIVE integer
---@field UDP_CORK integer
---@field UDP_ENCAP integer
---@field UDP_GRO integer
---@field UDP_NO_CHECK6_RX integer
---@field UDP_NO_CHECK6_TX integer
---@field UDP_SEGMENT integer
---@field UDPLITE_RECV_CSCOV integer
---@field UDPLITE_SEND_CSCOV integer
---@field AI_ADDRCONFIG integer
---@field AI_ALL integer
---@field AI_CANONIDN integer
---@field AI_CANONNAME integer
---@field AI_IDN integer
---@field AI_NUMERICHOST integer
---@field AI_NUMERICSERV integer
---@field AI_PASSIVE integer
---@field AI_V4MAPPED integer
---@field EAI_ADDRFAMILY integer
---@field EAI_AGAIN integer
---@field EAI_ALLDONE integer
---@field EAI_BADFLAGS integer
---@field EAI_CANCELED integer
---@field EAI_FAIL integer
---@field EAI_FAMILY integer
---@field EAI_IDN_ENCODE integer
---@field EAI_INPROGRESS integer
---@field EAI_INTR integer
---@field EAI_MEMORY integer
---@field EAI_NODATA integer
---@field EAI_NONAME integer
---@field EAI_NOTCANCELED integer
---@field EAI_OVERFLOW integer
---@field EAI_SERVICE integer
---@field EAI_SOCKTYPE integer
---@field EAI_SYSTEM integer
---@field NI_DGRAM integer
---@field NI_IDN integer
---@field NI_MAXHOST integer
---@field NI_MAXSERV integer
---@field NI_NAMEREQD integer
---@field NI_NOFQDN integer
---@field NI_NUMERICHOST integer
---@field NI_NUMERICSERV integer
---@field NETLINK_ADD_MEMBERSHIP integer
---@field NETLINK_AUDIT integer
---@field NETLINK_BROADCAST_ERROR integer
---@field NETLINK_CAP_ACK integer
---@field NETLINK_CONNECTOR integer
---@field NETLINK_CRYPTO integer
---@field NETLINK_DNRTMSG integer
---@field NETLINK_DROP_MEMBERSHIP integer
---@field NETLINK_ECRYPTFS integer
---@field NETLINK_EXT_ACK integer
---@field NETLINK_FIB_LOOKUP integer
---@field NETLINK_FIREWALL integer
---@field NETLINK_GENERIC integer
---@field NETLINK_GET_STRICT_CHK integer
---@field NETLINK_INET_DIAG integer
---@field NETLINK_IP6_FW integer
---@field NETLINK_ISCSI integer
---@field NETLINK_KOBJECT_UEVENT integer
---@field NETLINK_LISTEN_ALL_NSID integer
---@field NETLINK_LIST_MEMBERSHIPS integer
---@field NETLINK_NETFILTER integer
---@field NETLINK_NFLOG integer
---@field NETLINK_NO_ENOBUFS integer
---@field NETLINK_PKTINFO integer
---@field NETLINK_RDMA integer
---@field NETLINK_ROUTE integer
---@field NETLINK_SCSITRANSPORT integer
---@field NETLINK_SELINUX integer
---@field NETLINK_SMC integer
---@field NETLINK_SOCK_DIAG integer
---@field NETLINK_USERSOCK integer
---@field NETLINK_XFRM integer
---@field NLM_F_ACK integer
---@field NLM_F_APPEND integer
---@field NLM_F_ATOMIC integer
---@field NLM_F_CREATE integer
---@field NLM_F_DUMP integer
---@field NLM_F_DUMP_INTR integer
---@field NLM_F_ECHO integer
---@field NLM_F_EXCL integer
---@field NLM_F_MATCH integer
---@field NLM_F_MULTI integer
---@field NLM_F_REPLACE integer
---@field NLM_F_REQUEST integer
---@field NLM_F_ROOT integer
---@field NLMSG_DONE integer
---@field NLMSG_ERROR integer
---@field NLMSG_MIN_TYPE integer
---@field NLMSG_NOOP integer
---@field NLMSG_OVERRUN integer
---@field RTM_DELADDR integer
---@field RTM_DELLINK integer
---@field RTM_DELNEIGH integer
---@field RTM_DELROUTE integer
---@field RTM_GETADDR integer
---@field RTM_GETLINK integer
---@field RTM_GETNEIGH integer
---@field RTM_GETROUTE integer
---@field RTM_NEWADDR integer
---@field RTM_NEWLINK integer
---@field RTM_NEWNEIGH integer
---@field RTM_NEWROUTE integer
---@field RTMGRP_IPV4_IFADDR integer
---@field RTMGRP_IPV4_ROUTE integer
---@field RTMGRP_IPV6_IFADDR integer
---@field RTMGRP_IPV6_ROUTE integer
---@field RTMGRP_LINK integer
---@field RTMGRP_NEIGH integer
---@field PACKET_ADD_MEMBERSHIP integer
---@field PACKET_AUXDATA integer
---@field PACKET_BROADCAST integer
---@field PACKET_COPY_THRESH integer
---@field PACKET_DROP_MEMBERSHIP integer
---@field PACKET_FANOUT integer
---@field PACKET_FANOUT_CPU integer
---@field PACKET_FANOUT_HASH integer
---@field PACKET_FANOUT_LB integer
---@field PACKET_FASTROUTE integer
---@field PACKET_HDRLEN integer
---@field PACKET_HOST integer
---@field PACKET_IGNORE_OUTGOING integer
---@field PACKET_KERNEL integer
---@field PACKET_LOOPBACK integer
---@field PACKET_LOSS integer
---@field PACKET_MR_ALLMULTI integer
---@field PACKET_MR_MULTICAST integer
---@field PACKET_MR_PROMISC integer
---@field PACKET_MR_UNICAST integer
---@field PACKET_MULTICAST integer
---@field PACKET_ORIGDEV integer
---@field PACKET_OTHERHOST integer
---@field PACKET_OUTGOING integer
---@field PACKET_QDISC_BYPASS integer
---@field PACKET_RECV_OUTPUT integer
---@field PACKET_RESERVE integer
---@field PACKET_RX_RING integer
---@field PACKET_STATISTICS integer
---@field PACKET_TIMESTAMP integer
---@field PACKET_TX_RING integer
---@field PACKET_TX_TIMESTAMP integer
---@field PACKET_USER integer
---@field PACKET_VERSION integer
---@field PACKET_VNET_HDR integer
---@field ETH_P_ALL integer
---@field ETH_P_ARP integer
---@field ETH_P_IP integer
---@field ETH_P_IPV6 integer
---@field ETH_P_LOOPBACK integer
---@field CAN_BCM integer
---@field CAN_BCM_CAN_FD_FRAME integer
---@field CAN_BCM_RX_ANNOUNCE_RESUME integer
---@field CAN_BCM_RX_CHANGED integer
---@field CAN_BCM_RX_CHECK_DLC integer
---@field CAN_BCM_RX_DELETE integer
---@field CAN_BCM_RX_FILTER_ID integer
---@field CAN_BCM_RX_NO_AUTOTIMER integer
---@field CAN_BCM_RX_READ integer
---@field CAN_BCM_RX_RTR_FRAME integer
---@field CAN_BCM_RX_SETUP integer
---@field CAN_BCM_RX_STATUS integer
---@field CAN_BCM_RX_TIMEOUT integer
---@field CAN_BCM_SETTIMER integer
---@field CAN_BCM_STARTTIMER integer
---@field CAN_BCM_TX_ANNOUNCE integer
---@field CAN_BCM_TX_COUNTEVT integer
---@field CAN_BCM_TX_CP_CAN_ID integer
---@field CAN_BCM_TX_DELETE integer
---@field CAN_BCM_TX_EXPIRED integer
---@field CAN_BCM_TX_READ integer
---@field CAN_BCM_TX_RESET_MULTI_IDX integer
---@field CAN_BCM_TX_SEND integer
---@field CAN_BCM_TX_SETUP integer
---@field CAN_BCM_TX_STATUS integer
---@field CAN_EFF_FLAG integer
---@field CAN_EFF_MASK integer
---@field CAN_ERR_FLAG integer
---@field CAN_ERR_MASK integer
---@field CAN_ISOTP integer
---@field CAN_J1939 integer
---@field CAN_RAW integer
---@field CAN_RAW_FD_FRAMES integer
---@field CAN_RAW_FILTER integer
---@field CAN_RAW_JOIN_FILTERS integer
---@field CAN_RAW_LOOPBACK integer
---@field CAN_RAW_RECV_OWN_MSGS integer
---@field CAN_RTR_FLAG integer
---@field CAN_SFF_MASK integer
---@field J1939_EE_INFO_NONE integer
---@field J1939_EE_INFO_TX_ABORT integer
---@field J1939_FILTER_MAX integer
---@field J1939_IDLE_ADDR integer
---@field J1939_MAX_UNICAST_ADDR integer
---@field J1939_NLA_BYTES_ACKED integer
---@field J1939_NLA_PAD integer
---@field J1939_NO_ADDR integer
---@field J1939_NO_NAME integer
---@field J1939_NO_PGN integer
---@field J1939_PGN_ADDRESS_CLAIMED integer
---@field J1939_PGN_ADDRESS_COMMANDED integer
---@field J1939_PGN_MAX integer
---@field J1939_PGN_PDU1_MAX integer
---@field J1939_PGN_REQUEST integer
---@field TIPC_ADDR_ID integer
---@field TIPC_ADDR_NAME integer
---@field TIPC_ADDR_NAMESEQ integer
---@field TIPC_CFG_SRV integer
---@field TIPC_CLUSTER_SCOPE integer
---@field TIPC_CONN_TIMEOUT integer
---@field TIPC_CRITICAL_IMPORTANCE integer
---@field TIPC_DEST_DROPPABLE integer
---@field TIPC_HIGH_IMPORTANCE integer
---@field TIPC_IMPORTANCE integer
---@field TIPC_LOW_IMPORTANCE integer
---@field TIPC_MEDIUM_IMPORTANCE integer
---@field TIPC_NODE_SCOPE integer
---@field TIPC_PUBLISHED integer
---@field TIPC_SRC_DROPPABLE integer
---@field TIPC_SUBSCR_TIMEOUT integer
---@field TIPC_SUB_CANCEL integer
---@field TIPC_SUB_PORTS integer
---@field TIPC_SUB_SERVICE integer
---@field TIPC_TOP_SRV integer
---@field TIPC_WAIT_FOREVER integer
---@field TIPC_WITHDRAWN integer
---@field TIPC_ZONE_SCOPE integer
---@field ALG_OP_DECRYPT integer
---@field ALG_OP_ENCRYPT integer
---@field ALG_OP_SIGN integer
---@field ALG_OP_VERIFY integer
---@field ALG_SET_AEAD_ASSOCLEN integer
---@field ALG_SET_AEAD_AUTHSIZE integer
---@field ALG_SET_IV integer
---@field ALG_SET_KEY integer
---@field ALG_SET_OP integer
---@field ALG_SET_PUBKEY integer
---@field VMADDR_CID_ANY integer
---@field VMADDR_CID_HOST integer
---@field VMADDR_CID_HYPERVISOR integer
---@field VMADDR_CID_LOCAL integer
---@field VMADDR_PORT_ANY integer
---@field VM_SOCKETS_INVALID_VERSION integer
---@field IOCTL_VM_SOCKETS_GET_LOCAL_CID integer
---@field POLLERR integer
---@field POLLHUP integer
---@field POLLIN integer
---@field POLLNVAL integer
---@field POLLOUT integer
---@field POLLPRI integer
---@field POLLRDHUP integer
---@field EPERM integer
---@field ENOENT integer
---@field ESRCH integer
---@field EINTR integer
---@field EIO integer
---@field ENXIO integer
---@field E2BIG integer
---@field ENOEXEC integer
---@field EBADF integer
---@field ECHILD integer
---@field EAGAIN integer
---@field ENOMEM integer
---@field EACCES integer
---@field EFAULT integer
---@field ENOTBLK integer
---@field EBUSY integer
---@field EEXIST integer
---@field EXDEV integer
---@field ENODEV integer
---@field ENOTDIR integer
---@field EISDIR integer
---@field EINVAL integer
---@field ENFILE integer
---@field EMFILE integer
---@field ENOTTY integer
---@field ETXTBSY integer
---@field EFBIG integer
---@field ENOSPC integer
---@field ESPIPE integer
---@field EROFS integer
---@field EMLINK integer
---@field EPIPE integer
---@field EDOM integer
---@field ERANGE integer
---@field EDEADLK integer
---@field ENAMETOOLONG integer
---@field ENOLCK integer
---@field ENOSYS integer
---@field ENOTEMPTY integer
---@field ELOOP integer
---@field ENOMSG integer
---@field EIDRM integer
---@field ECHRNG integer
---@field EL2NSYNC integer
---@field EL3HLT integer
---@field EL3RST integer
---@field ELNRNG integer
---@field EUNATCH integer
---@field ENOCSI integer
---@field EL2HLT integer
---@field EBADE integer
---@field EBADR integer
---@field EXFULL integer
---@field ENOANO integer
---@field EBADRQC integer
---@field EBADSLT integer
---@field EBFONT integer
---@field ENOSTR integer
---@field ENODATA integer
---@field ETIME integer
---@field ENOSR integer
---@field ENONET integer
---@field ENOPKG integer
---@field EREMOTE integer
---@field ENOLINK integer
---@field EADV integer
---@field ESRMNT integer
---@field ECOMM integer
---@field EPROTO integer
---@field EMULTIHOP integer
---@field EDOTDOT integer
---@field EBADMSG integer
---@field EOVERFLOW integer
---@field ENOTUNIQ integer
---@field EBADFD integer
---@field EREMCHG integer
---@field ELIBACC integer
---@field ELIBBAD integer
---@field ELIBSCN integer
---@field ELIBMAX integer
---@field ELIBEXEC integer
---@field EILSEQ integer
---@field ERESTART integer
---@field ESTRPIPE integer
---@field EUSERS integer
---@field ENOTSOCK integer
---@field EDESTADDRREQ integer
---@field EMSGSIZE integer
---@field EPROTOTYPE integer
---@field ENOPROTOOPT integer
---@field EPROTONOSUPPORT integer
---@field ESOCKTNOSUPPORT integer
---@field EOPNOTSUPP integer
---@field EPFNOSUPPORT integer
---@field EAFNOSUPPORT integer
---@field EADDRINUSE integer
---@field EADDRNOTAVAIL integer
---@field ENETDOWN integer
---@field ENETUNREACH integer
---@field ENETRESET integer
---@field ECONNABORTED integer
---@field ECONNRESET integer
---@field ENOBUFS integer
---@field EISCONN integer
---@field ENOTCONN integer
---@field ESHUTDOWN integer
---@field ETOOMANYREFS integer
---@field ETIMEDOUT integer
---@field ECONNREFUSED integer
---@field EHOSTDOWN integer
---@field EHOSTUNREACH integer
---@field EALREADY integer
---@field EINPROGRESS integer
---@field ESTALE integer
---@field EUCLEAN integer
---@field ENOTNAM integer
---@field ENAVAIL integer
---@field EISNAM integer
---@field EREMOTEIO integer
---@field EDQUOT integer
---@field ENOMEDIUM integer
---@field EMEDIUMTYPE integer
---@field ECANCELED integer
---@field ENOKEY integer
---@field EKEYEXPIRED integer
---@field EKEYREVOKED integer
---@field EKEYREJECTED integer
---@field EOWNERDEAD integer
---@field ENOTRECOVERABLE integer
---@field ERFKILL integer
---@field EWOULDBLOCK integer
---@field ENOTSUP integer
---@field EDEADLOCK integer
