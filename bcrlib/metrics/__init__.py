"""What is right, what flips, and how sure we are: UAS, LAS, UCM, LCM; NFR, PFR, NFI; intervals and tests."""
