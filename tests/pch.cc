// Carries the header that the test programs share (tests/CMakeLists.txt).
int main() { return 0; }
