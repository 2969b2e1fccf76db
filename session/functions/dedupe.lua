-- What has been appended in the last minutes: hashes of a digest of sender and messageId to the seq, a new one each time the
-- window is over, which ends with the window after it. So two windows are looked through, and a record lasts for one at least. A record
-- does not say that a message is a duplicate: the message with its seq does.
--
-- window: its number, at random at first, so that records outlive no epoch that nothing is left of. windowEnd: when it is over.
-- windowSeq, formerSeq: the newest seq when this window, and the one before it, began.

-- Redis keeps a hash of up to 512 short fields in a sixth of the memory. So the next records go to 16 hashes, by the first digit of
-- the digest, then to 256 and to 4096.
local WINDOWS = 4294967296
local LEVEL_ENDS = { 256, 256 * 17, 256 * 273 }

local function createWindow(meta, time)
  return tonumber(createTag(meta, time, 8), 16)
end

local function levelOf(count)
  if count < LEVEL_ENDS[1] then return 0 end
  if count < LEVEL_ENDS[2] then return 1 end
  return count < LEVEL_ENDS[3] and 2 or 3
end

local function nameHash(prefix, number, level, digest)
  local name = string.format('%s%x', prefix, number)
  if level == 0 then return name end
  local one, two = string.byte(digest, 1, 2)
  return name .. ':' .. string.sub(string.format('%02x%02x', one, two), 1, level)
end

-- The record of a digest among those of a window with so many; nil when there is none on the levels up to `last`.
local function findRecord(prefix, number, last, digest)
  for level = 0, last do
    local record = redis.call('HGET', nameHash(prefix, number, level, digest), digest)
    if record then return tonumber(record) end
  end
  return nil
end
