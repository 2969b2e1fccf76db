-- KEYS meta, inbox. ARGV fresh epoch, ttl of meta, epoch, delivered seq. Returns epoch, seq, first.
local epoch, seq, first = inboxState(KEYS[1], KEYS[2], ARGV[1])
if epoch == ARGV[3] and seq < tonumber(ARGV[4]) then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { epoch, seq, first }
