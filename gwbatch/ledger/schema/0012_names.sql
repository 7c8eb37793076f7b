-- The names that the code uses.
ALTER TABLE external_events RENAME COLUMN chosen TO best_notice;
ALTER TABLE external_events RENAME COLUMN located TO map_notice;
ALTER TABLE external_events RENAME COLUMN by_hand TO not_grb_override;
ALTER TABLE external_events RENAME COLUMN expected TO pending_writes;
ALTER TABLE superevents RENAME COLUMN expected TO pending_writes;
