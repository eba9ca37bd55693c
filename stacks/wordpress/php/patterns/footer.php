<?php
// The footer of Twenty Twenty-Five without its links that lead nowhere. Shown by sites whose association has not
// made a footer of its own; it is a start for those who do.
?>
<!-- wp:group {"style":{"spacing":{"padding":{"top":"var:preset|spacing|60","bottom":"var:preset|spacing|50"}}},"layout":{"type":"constrained"}} -->
<div class="wp-block-group" style="padding-top:var(--wp--preset--spacing--60);padding-bottom:var(--wp--preset--spacing--50)">
    <!-- wp:group {"align":"wide","layout":{"type":"flex","flexWrap":"wrap","justifyContent":"space-between","verticalAlignment":"bottom"}} -->
    <div class="wp-block-group alignwide">
        <!-- wp:group {"style":{"spacing":{"blockGap":"var:preset|spacing|20"}},"layout":{"type":"flex","orientation":"vertical"}} -->
        <div class="wp-block-group">
            <!-- wp:site-logo /-->
            <!-- wp:site-title {"level":2} /-->
            <!-- wp:site-tagline /-->
        </div>
        <!-- /wp:group -->
        <!-- wp:paragraph {"fontSize":"small"} -->
        <p class="has-small-font-size">Conçu avec <a href="https://fr.wordpress.org" rel="nofollow">WordPress</a></p>
        <!-- /wp:paragraph -->
    </div>
    <!-- /wp:group -->
</div>
<!-- /wp:group -->
