-- What has been appended in the last minutes: hashes of a digest of sender and messageId to the seq, new ones each time the
-- window is over, which end with the window after it. So two windows are looked through, and a record lasts for one at least. A record
-- does not say that a message is a duplicate: the message with its seq does.
--
-- window: its number, at random at first, so that records outlive no epoch that nothing is left of. windowEnd: when it is over.
-- windowSeq, formerSeq: the newest seq when this window, and the one before it, began.
--
-- Redis keeps a hash of up to 512 short fields in a sixth of the memory, and goes through all of them for each. So a window has one hash for the
-- first 128 records, which is then spread over 16, by the first digit of the digest; what comes beyond 4,096 goes to 256, and then to 4,096.

local WINDOWS = 4294967296
local SPREAD_AT = 128
local LEVEL_ENDS = { SPREAD_AT, 256 * 16, 256 * 272 }

local function createWindow(meta, time)
  return tonumber(createTag(meta, time, 8), 16)
end

-- The level of the hash that record number `count` of a window goes to.
local function levelOf(count)
  if count < LEVEL_ENDS[1] then return 0 end
  if count < LEVEL_ENDS[2] then return 1 end
  return count < LEVEL_ENDS[3] and 2 or 3
end

local function nameHash(seen, window, level, digest)
  local name = string.format('%s%x', seen, window)
  if level == 0 then return name end
  local one, two = string.byte(digest, 1, 2)
  return name .. ':' .. string.sub(string.format('%02x%02x', one, two), 1, level)
end

-- The record of a digest in a window, on the levels up to `last`; nil when there is none.
local function findRecord(seen, window, last, digest)
  for level = math.min(last, 1), last do
    local record = redis.call('HGET', nameHash(seen, window, level, digest), digest)
    if record then return tonumber(record) end
  end
  return nil
end

-- Spreads the records of the one hash of a window. All 16 are made, so that they have their end.
local function spreadRecords(seen, window, ttl)
  local whole = nameHash(seen, window, 0)
  local records = redis.call('HGETALL', whole)
  local parts = {}
  for digit = 0, 15 do parts[digit] = { '', '0' } end
  for i = 1, #records, 2 do
    local part = parts[math.floor(string.byte(records[i]) / 16)]
    part[#part + 1], part[#part + 2] = records[i], records[i + 1]
  end
  for digit = 0, 15 do
    local name = string.format('%s:%x', whole, digit)
    redis.call('HSET', name, unpack(parts[digit]))
    redis.call('PEXPIRE', name, ttl)
  end
  redis.call('UNLINK', whole)
end
