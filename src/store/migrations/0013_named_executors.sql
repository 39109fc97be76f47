-- Which executors sessions name, also those that are gone, from name to name in one step each.
CREATE INDEX sessions_of_executor ON sessions (executor) WHERE executor <> '';
