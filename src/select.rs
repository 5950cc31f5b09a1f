//! Candidates → filters → constraint solve → ordered chain.
