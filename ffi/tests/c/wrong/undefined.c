/* Wrong on purpose: a signed number beyond its range. PROGRAM PACK. */
#include "../check.h"
#include <limits.h>

int main(int count, char **arguments) {
    (void)arguments;
    printf("%d\n", INT_MAX + count);
    return 0;
}
