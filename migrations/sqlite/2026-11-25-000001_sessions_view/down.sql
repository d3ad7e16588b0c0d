DROP VIEW gaps_v;
DROP VIEW sessions_v;
