-- Built-in handlers have names of their own now, no longer those of the modules they are in.
UPDATE handled SET handler = replace(handler, 'gwbatch.handlers.builtin.', 'gwbatch.')
WHERE handler LIKE 'gwbatch.handlers.builtin.%';
UPDATE timers SET key = replace(key, 'gwbatch.handlers.builtin.', 'gwbatch.'),
                  topic = replace(topic, 'gwbatch.handlers.builtin.', 'gwbatch.')
WHERE topic LIKE 'every.gwbatch.handlers.builtin.%';
UPDATE messages SET topic = replace(topic, 'gwbatch.handlers.builtin.', 'gwbatch.')
WHERE topic LIKE 'every.gwbatch.handlers.builtin.%';
