-- The address a box was seen to connect from: boxes that share one are asked to fill each other inside their network.
ALTER TABLE boxes ADD COLUMN observed_address text;
