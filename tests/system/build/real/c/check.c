#include "greet.h"

int main(void)
{
    greet("check");
    return 0;
}
