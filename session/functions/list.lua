-- An inbox as a list: its entries have consecutive seq, so that a seq is found by its index. The meta data are one packed string, under
-- the key that is a hash in 0.2.0: a gateway of 0.2.0 gets an error there, and can never give out a seq twice.
--
-- seq: the newest. first: the oldest that is retained. base: up to there the messages are in the stream of 0.2.0, 0 where there is none.
-- dueAt: when to trim, and to put the end of the keys off, next. dedupe, windowEnd, windowSeq, formerSeq: dedupe.lua.

local META = '>BI6I6I6I6I4I6I6I6c12'
local VERSION = 1
local EPOCH_AT = 60
local TRIM_STEP = 16

local function unpackMeta(packed)
  if string.byte(packed) ~= VERSION or #packed < EPOCH_AT then error({ err = 'WRONGTYPE the meta data of an inbox are none' }) end
  local _, seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary = struct.unpack(META, packed)
  return seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary, string.sub(packed, EPOCH_AT)
end

local function packMeta(seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary, epoch)
  return struct.pack(META, VERSION, seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary) .. epoch
end

local function writeMeta(meta, ttl, ...)
  redis.call('SET', meta, packMeta(...), 'PX', ttl)
end

-- The key of the stream of an inbox, by that of its meta data.
local function streamOf(meta)
  return string.sub(meta, 1, -6)
end

-- The packed meta data of a list; or nil, and whether they are those of a stream.
local function readMeta(meta)
  local packed = redis.pcall('GET', meta)
  if type(packed) == 'string' then return packed, false end
  if packed == false then return nil, false end
  -- Fails for what is neither.
  redis.call('HLEN', meta)
  return nil, true
end

-- The oldest and the newest seq of a list by its own entries. Nil when there is none; one with a hole is no log of ours, and goes.
local function endsOfList(list)
  local length = redis.call('LLEN', list)
  if length == 0 then return nil end
  local oldest, newest = redis.call('LINDEX', list, 0), redis.call('LINDEX', list, -1)
  if #oldest >= TAIL_AT and #newest >= TAIL_AT then
    oldest, newest = struct.unpack('>I6', oldest), struct.unpack('>I6', newest)
    if newest - oldest + 1 == length then return oldest, newest end
  end
  redis.call('DEL', list)
  return nil
end

-- Meta data for a list without (any that agree with it), under an epoch of their own: numbers go on where list and stream end.
local function recoverMeta(meta, list, inbox, time)
  local seq, first, base = 0, 1, 0
  local streamFirst, streamSeq = endsOfStream(inbox)
  local listFirst, listSeq = endsOfList(list)
  if listFirst and streamSeq == listFirst - 1 then seq, first, base = listSeq, streamFirst, streamSeq
  elseif listFirst then seq, first = listSeq, listFirst
  elseif streamSeq then seq, first, base = streamSeq, streamFirst, streamSeq end
  return packMeta(seq, first, base, 0, createWindow(meta, time), 0, seq, seq, currentPrimary(time), createTag(meta, time, 12))
end

-- A stream goes over to a list: what comes goes there, what it has is read until it ends.
local function adoptStream(meta, list, inbox, time)
  local epoch, seq, first = openStream(meta, inbox, time)
  local _, newest = endsOfStream(inbox)
  if newest and newest > seq then
    -- Its meta data were written by another hand: as appendToStream.
    redis.call('DEL', meta)
    epoch, seq, first = openStream(meta, inbox, time)
  end
  local base = newest and seq or 0
  redis.call('UNLINK', meta, list)
  return packMeta(seq, first, base, 0, createWindow(meta, time), 0, seq, seq, currentPrimary(time), epoch)
end

-- The meta data of a list that is to be written to, not yet stored where they are new; nil where a stream is to be written to.
local function openMeta(meta, list, inbox, time, lists)
  local packed, isStream = readMeta(meta)
  if packed then return packed end
  if lists ~= '1' and (isStream or redis.call('EXISTS', list) == 0) then return nil end
  if isStream then return adoptStream(meta, list, inbox, time) end
  return recoverMeta(meta, list, inbox, time)
end

-- Where an inbox stands, whatever its form: epoch, seq, first, base (nil for a stream). Stores what is new, and puts the end of the
-- meta data off.
local function openInbox(meta, list, inbox, time, ttl, lists)
  local packed = openMeta(meta, list, inbox, time, lists)
  if not packed then
    local epoch, seq, first = openStream(meta, inbox, time)
    redis.call('PEXPIRE', meta, ttl)
    return epoch, seq, first
  end
  local seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary, epoch = unpackMeta(packed)
  local length = redis.call('LLEN', list)
  if length ~= 0 and length ~= seq - math.max(first - 1, base) then
    packed = recoverMeta(meta, list, inbox, time)
    seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary, epoch = unpackMeta(packed)
  elseif length == 0 and seq > base then
    first, base = seq + 1, 0
  end
  if base > 0 and redis.call('EXISTS', inbox) == 0 then first, base = math.max(first, base + 1), 0 end
  local current = currentPrimary(time)
  if primary ~= current then epoch = forkEpoch(epoch, seq, createTag(meta, time, 8)) end
  writeMeta(meta, ttl, seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, current, epoch)
  return epoch, seq, first, base
end

-- How much later than it is due the look for what has expired may be, ms.
local function lateOf(retention)
  return math.min(60000, math.floor(retention / 10))
end

-- When the oldest entries have expired: the first seq that is retained, and when to look again. `seq` is about to be appended.
local function findRetained(list, inbox, first, base, seq, time, retention)
  local late = lateOf(retention)
  if first == seq then return first, time + late end
  local fromList = first > base
  local oldest = fromList and redis.call('LRANGE', list, 0, TRIM_STEP - 1)
    or redis.call('XRANGE', inbox, int(first), int(base), 'COUNT', TRIM_STEP)
  if #oldest == 0 and not fromList then first = base + 1 end
  for _, entry in ipairs(oldest) do
    local at, sentAt
    if fromList then at, sentAt = struct.unpack(ENTRY, entry) else at, sentAt = seqOf(entry[1]), tonumber(entry[2][8]) end
    if sentAt + retention > time then return at, time + late end
    first = at + 1
  end
  return first, first == seq and time + late or time
end

-- Entries from a seq on, up to so many; those up to `base` are in the stream.
local function readEntries(list, inbox, first, base, from, count)
  if from > base then
    local at = from - math.max(first, base + 1)
    return redis.call('LRANGE', list, int(at), int(at + count - 1))
  end
  local found = redis.call('XRANGE', inbox, int(from), int(base), 'COUNT', count)
  for i, entry in ipairs(found) do
    local fields = entry[2]
    found[i] = packEntry(seqOf(entry[1]), tonumber(fields[8]), packTail(fields[4], fields[2], fields[6], fields[10]))
  end
  return found
end

local function setEpoch(meta, epoch)
  redis.call('SET', meta, string.sub(redis.call('GET', meta), 1, EPOCH_AT - 1) .. epoch, 'KEEPTTL')
end

-- epoch and newest seq as they are stored; nothing where there is no inbox.
local function readHead(meta)
  local packed, isStream = readMeta(meta)
  if packed then
    local seq, _, _, _, _, _, _, _, _, epoch = unpackMeta(packed)
    return epoch, seq
  end
  if not isStream then return nil end
  local stored = redis.call('HMGET', meta, 'epoch', 'seq')
  return stored[1], tonumber(stored[2])
end
