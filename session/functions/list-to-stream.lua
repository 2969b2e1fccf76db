-- KEYS meta, list, stream. ARGV retention, ttl of meta, dedupe window, count, bytes. Copies so many entries of a list, of so many bytes (one
-- at least), to a stream of 0.2.0, with the records by which it knows a retry; after the last one the stream takes the list's place. Returns 1 when it has, or there is no list, else 0.
local READ_STEP = 8
local packed = readMeta(KEYS[1])
if not packed then return 1 end
local time = now()
local retention, window = tonumber(ARGV[1]), tonumber(ARGV[3])
local epoch, seq, first, base = openInbox(KEYS[1], KEYS[2], KEYS[3], time, ARGV[2], '1')
local start = math.max(first, base + 1)
local _, newest = endsOfStream(KEYS[3])
if newest and newest > seq then redis.call('DEL', KEYS[3]) end
local from = newest and newest <= seq and math.max(start, newest + 1) or start
local last, bytes = from + tonumber(ARGV[4]), tonumber(ARGV[5])
while from < last and bytes > 0 do
  local entries = redis.call('LRANGE', KEYS[2], int(from - start), int(math.min(from + READ_STEP, last) - start - 1))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    local at, sentAt = struct.unpack(ENTRY, entry)
    local tail = string.sub(entry, TAIL_AT)
    local added = addToStream(KEYS[3], first, at, sentAt, tail)
    if type(added) == 'table' then return added end
    if sentAt + window > time then
      redis.call('SET', (readRecord(KEYS[1], tail)), int(at) .. ':' .. int(sentAt) .. ':' .. epoch, 'PX', int(sentAt + window - time))
    end
    from, bytes = from + 1, bytes - #entry
    if bytes <= 0 then break end
  end
end
redis.call('PEXPIRE', KEYS[3], int(retention))
if from <= seq then return 0 end
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', int(seq), 'first', int(first), 'trimAt', '0',
  'replid', currentReplid(time), 'replidSeq', int(seq))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
