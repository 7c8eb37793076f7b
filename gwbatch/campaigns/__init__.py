"""Campaigns: the sky maps of an observing run, or of an injection study, over many nodes.

::

    plan      reads the events once, predicts what each costs, and fills the table
    dealer    decides who gets which event, and what an answer means; no files, no processes
    crew      the science processes of one node: persistent, one event at a time each
    owning    one machine: a dealer and a crew
    ranks     MPI: rank 0 has the dealer, every rank a crew
    working   nodes without MPI: crews take chunks from a folder, and an idle one updates the table

Only the owner, by the lease, writes the table.  An event is done when its row says so; its files were there before.
"""
