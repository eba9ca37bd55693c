<?php
// What the templates of Twenty Twenty-Five say to visitors. Debian has no translation of themes.
// Keys: the theme's words, after their context and \4 when they have one. No-break spaces are written \u{a0}.

return [
    'messages' => [
        // Pages and lists
        'Blog' => 'Actualités',
        'More posts' => 'Autres articles',
        'Other Posts' => 'Autres articles',
        'Written by ' => 'Écrit par ',
        'in' => 'dans',
        'Post navigation' => 'Article précédent, article suivant',
        'Comments' => 'Commentaires',

        // Search. The last is also what an empty list of news says.
        "Search form label.\4Search" => 'Rechercher',
        "Button text. Verb.\4Search" => 'Rechercher',
        "Search input field placeholder text.\4Type here..." => 'Votre recherche…',
        "Message explaining that there are no results returned from a search."
            . "\4Sorry, but nothing was found. Please try a search with different keywords."
            => 'Il n’y a rien à lire ici pour l’instant. Essayez une recherche avec d’autres mots.',
        'Add text or blocks that will display when a query returns no results.'
            => 'Ajoutez ce qui sera affiché quand il n’y a aucun résultat.',

        // A page that does not exist
        "404 error message\4Page not found" => 'Page introuvable',
        "404 error message\4The page you are looking for doesn't exist, or it has been moved."
            . " Please try searching using the form below."
            => 'La page que vous cherchez n’existe pas, ou a été déplacée. Essayez une recherche ci-dessous.',
        "image description\4Small totara tree on ridge above Long Point" => 'Petit arbre courbé par le vent, sur une crête',

        // Footers. Ours replaces the first (see patterns/footer.php); associations may choose the others.
        'Designed with %s' => 'Conçu avec %s',
        'https://wordpress.org' => 'https://fr.wordpress.org',
        'Twenty Twenty-Five' => 'Twenty Twenty-Five',
        'About' => 'À propos',
        'FAQs' => 'Questions fréquentes',
        'Authors' => 'Auteurs',
        'Events' => 'Événements',
        'Shop' => 'Boutique',
        'Patterns' => 'Compositions',
        'Themes' => 'Thèmes',
        'Stories' => 'Récits',
        'Featured' => 'À la une',
        "Example brand name.\4Fleurs" => 'Fleurs',
        'Receive our articles in your inbox.' => 'Recevez nos articles par courriel.',
        'Subscribe' => 'S’abonner',
    ],
];
