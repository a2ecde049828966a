mod flush_task; // deferred writes
mod races;
