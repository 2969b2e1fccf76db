-- One message in a list: seq, time, and the part that the gateway sends, which session/inbox/entry.ts packs and reads: clientType,
-- bytes of the sender's id, bytes of the messageId, sender, messageId, payload.

local ENTRY = '>I6I6'
local TAIL_AT = 13

local function packEntry(seq, time, tail)
  return struct.pack(ENTRY, seq, time) .. tail
end

-- clientType, sender, messageId, payload.
local function splitTail(tail)
  local clientType, from, id = string.byte(tail, 1, 3)
  return clientType, string.sub(tail, 4, 3 + from), string.sub(tail, 4 + from, 3 + from + id), string.sub(tail, 4 + from + id)
end

local function packTail(clientType, from, messageId, payload)
  return string.char(tonumber(clientType), #from, #messageId) .. from .. messageId .. payload
end

-- Whether an entry is the message with this tail: of the same sender, under the same messageId.
local function isSameMessage(entry, tail)
  local _, from, id = string.byte(tail, 1, 3)
  local last = 3 + from + id
  return string.sub(entry, TAIL_AT + 1, TAIL_AT + last - 1) == string.sub(tail, 2, last)
end

local function payloadBytes(entry)
  local from, id = string.byte(entry, TAIL_AT + 1, TAIL_AT + 2)
  return #entry - TAIL_AT - 2 - from - id
end
