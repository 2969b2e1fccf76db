-- KEYS removed. ARGV ttl, connectionIds… Notes them, each once.
for i = 2, #ARGV do redis.call('SADD', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
