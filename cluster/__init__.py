"""The cluster as we know it: what runs (report), what is asked (plan), what happened (events), where it is kept."""
