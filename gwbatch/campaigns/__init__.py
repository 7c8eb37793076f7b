"""Campaigns: the sky maps of an observing run or an injection study, computed on many nodes.

::

    planning  reads every event file once, predicts the cost of each event and fills the table
    dealer    decides which node gets which event, and interprets outcomes; starts no processes, opens no files
    crew      the persistent science processes of one node, each with one event at a time
    owning    the main loop of the owner, which has the dealer and one or more crews
    ranks     MPI: rank 0 has the dealer, every rank has a crew
    working   nodes without MPI: each worker's crew claims chunks from a folder, and workers update the table in turn

Only the process that holds the lease (the owner) writes the table.  A row is marked done only after the event's files
are on disk.
"""
