-- Lists of what is unknown or dead go in the order of ids.
DROP INDEX deliveries_unresolved;
CREATE INDEX deliveries_unresolved ON deliveries (status, id) WHERE status IN (3, 4);
