-- What routers answered, by UTC day and target: added up by each router every few seconds.
CREATE TABLE redirect_counts (
  day date NOT NULL,
  target text NOT NULL CHECK (target IN ('box', 'origin')),
  count bigint NOT NULL,
  PRIMARY KEY (day, target)
);
