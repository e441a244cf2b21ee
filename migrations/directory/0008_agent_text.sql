-- What agents are found by: the words of their handles, and those of what they say of themselves. `entry` is an agent's row in
-- `agent_text`, a number at random. That table keeps no text but its index, and follows the others by triggers, so that a
-- statement that changes an agent or its handle changes both or neither.
ALTER TABLE agent ADD COLUMN entry INTEGER;
UPDATE agent SET entry = abs(random() >> 11);
CREATE UNIQUE INDEX agent_entry ON agent (entry);

CREATE VIRTUAL TABLE agent_text USING fts5 (
  handle, words, content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO agent_text (rowid, handle, words)
  SELECT entry, handle, words FROM agent JOIN account ON account.did = agent.did WHERE ended = 0;

CREATE TRIGGER agent_enrolled AFTER INSERT ON agent BEGIN
  INSERT INTO agent_text (rowid, handle, words)
    SELECT new.entry, handle, new.words FROM account WHERE did = new.did;
END;
CREATE TRIGGER agent_described AFTER UPDATE OF words, ended ON agent WHEN old.words <> new.words OR old.ended <> new.ended BEGIN
  DELETE FROM agent_text WHERE rowid = old.entry;
  INSERT INTO agent_text (rowid, handle, words)
    SELECT new.entry, handle, new.words FROM account WHERE did = new.did AND new.ended = 0;
END;
CREATE TRIGGER agent_renamed AFTER UPDATE OF handle ON account WHEN old.handle <> new.handle BEGIN
  DELETE FROM agent_text WHERE rowid = (SELECT entry FROM agent WHERE did = new.did);
  INSERT INTO agent_text (rowid, handle, words)
    SELECT entry, new.handle, words FROM agent WHERE did = new.did AND ended = 0;
END;
