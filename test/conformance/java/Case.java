/** What one API is asked and must answer, at a version of it. Everything else that a case needs, it asks in the newest version. */
interface Case {
    /** @return what was seen, in a few words. */
    String run(Bench bench, short version) throws Exception;
}
